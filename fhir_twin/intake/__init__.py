"""Everything that is no FHIR, made a FHIR Bundle: HL7 v2 messages and C-CDA documents. No network in the readers."""

"""fhir-twin: a digital twin and an explained care plan for every patient on a FHIR R4 server."""

__version__ = "0.1.0"

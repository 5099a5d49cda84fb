"""When the FHIR face was last changed: no time of a request, so that what carries it can be cached."""

RELEASED = "2026-11-28"

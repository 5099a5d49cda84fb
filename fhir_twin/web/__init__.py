"""The HTTP faces: the JSON API, the capability statement, the page. `create_app` is all that others need."""

from fhir_twin.web.app import create_app

__all__ = ["create_app"]

"""Several FHIR servers behind one address: /t/NAME/ is a whole service of its own, with its own settings, login, keys,
store rows and caches. Nothing is shared but the knowledge, so their data cannot mix (F10).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from fhir_twin import __version__
from fhir_twin.errors import Issue
from fhir_twin.web.answers import json_response, outcome_response


def mount(apps: Mapping[str, Flask]) -> Flask:
    """The outer app: its own /health, a 404 for everything else, and each tenant under /t/NAME."""
    outer = Flask("fhir_twin.web.tenants", static_folder=None)

    @outer.get("/health")
    def health() -> Response:
        """The process answers."""
        return json_response({"status": "ok", "version": __version__})

    @outer.errorhandler(404)
    def nothing(_: Exception) -> Response:
        """No list of tenants: their names are nobody's business."""
        return outcome_response((Issue("error", "not-found", "there is nothing at this address"),), 404)

    inner: dict[str, Any] = {f"/t/{name}": app.wsgi_app for name, app in apps.items()}
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, inner)  # type: ignore[method-assign]
    return outer

"""For a WSGI server of your own: `gunicorn 'fhir_twin.wsgi:create()'`; settings from the environment."""

from __future__ import annotations

from flask import Flask

from fhir_twin import log
from fhir_twin.cli.serve import collect_seldom, open_app
from fhir_twin.settings import load_settings


def create() -> Flask:
    """The app, with settings from FHIR_TWIN_* and the settings file. Raises TwinError when it cannot start."""
    settings = load_settings()
    log.set_up(settings.text("log_level"))
    app: Flask = open_app(settings)
    collect_seldom()
    return app

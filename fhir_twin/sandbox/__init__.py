"""A small FHIR R4 server with sample patients, for the demo and tests. Loopback only; not for production.

Flask is loaded when a server is made, not when this package is imported (the stories need no Flask).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from fhir_twin.sandbox.server import RunningSandbox


def create_sandbox(base: str, now: Callable[[], datetime] | None = None) -> Flask:
    """The WSGI app; see sandbox.server."""
    from fhir_twin.sandbox import server

    return server.create_sandbox(base, now or server.utc_now)


def serve_sandbox(port: int = 0, now: Callable[[], datetime] | None = None) -> RunningSandbox:
    """Start one in a background thread on 127.0.0.1; `.base` is its FHIR base URL, `.close()` stops it."""
    from fhir_twin.sandbox import server

    return server.serve_sandbox(port, now or server.utc_now)

"""Whose certificates we trust."""

from __future__ import annotations

import os
from pathlib import Path

from fhir_twin.errors import InvalidInput


def certificates(ca_bundle: Path | None) -> str | bool:
    """For requests' `verify`: the named bundle, else the environment's, else the system's. Raises InvalidInput when the
    named one is not there."""
    if ca_bundle is not None:
        if not ca_bundle.exists():
            raise InvalidInput(f"the CA bundle {ca_bundle} does not exist")
        return str(ca_bundle)
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    return named or True

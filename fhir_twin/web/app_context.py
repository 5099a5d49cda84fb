"""Links from a card to the page: an opaque id on the way, what it means in our store (CR-5: no PHI in the link)."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

from fhir_twin.web.session_store import web_state

KIND = "context"
HOURS = 24
_ID = re.compile(r"ft1-[A-Za-z0-9_-]{16,40}\Z")


def new_context_id() -> str:
    return "ft1-" + secrets.token_urlsafe(18)


def read_app_context(given: str, base: str, patient: str) -> dict[str, Any]:
    """What our own id stands for, when it was made for this patient on this server; {} otherwise."""
    if not _ID.match(given):
        return {}
    kept = web_state().get(KIND, given, now=time.time())
    if kept is None or kept.value.get("base") != base or kept.value.get("patient") != patient:
        return {}
    return {k: v for k, v in kept.value.items() if k not in ("base", "patient")}

"""What an answer means: its JSON, or the error that our users should see. Never quotes a body or a URL."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

from fhir_twin.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    Issue,
    LoginRequired,
    NotFound,
    NotSupported,
    Throttled,
    TooCostly,
    TwinError,
    UpstreamError,
    UpstreamTimeout,
)
from fhir_twin.fhir.outcome import issues_of
from fhir_twin.transport.http import Reply

Resource = dict[str, Any]
_DECODER = msgspec.json.Decoder(Any, float_hook=Decimal)
# Only a vendor's error number is worth a place in the message; the issues ride along whole.
_VENDOR_NUMBER = re.compile(r"[A-Z]{3,4}[-_]\w")
_BOM = b"\xef\xbb\xbf"


def resource_of(reply: Reply, doing: str) -> Resource:
    """The resource in a successful answer. Raises the error that fits otherwise.

    doing: what was asked, for the message ("reading the capability statement"); a constant, never data."""
    if not 200 <= reply.status < 300:
        raise error_of(reply, doing)
    found = _json(reply)
    if isinstance(found, dict) and isinstance(found.get("resourceType"), str):
        return found
    raise UpstreamError(f"{doing}: the FHIR server answered {_what(reply, found)}", http_status=reply.status)


def try_resource(reply: Reply) -> Resource | None:
    """The resource in an answer of any status, None when there is none."""
    found = _json(reply)
    return found if isinstance(found, dict) and isinstance(found.get("resourceType"), str) else None


def try_json(reply: Reply) -> Any:
    """The JSON value of an answer of any status, None when it is none."""
    return _json(reply)


def error_of(reply: Reply, doing: str) -> TwinError:
    """The error for an answer outside 2xx, as transport.protocols lists them."""
    issues = _issues(reply, "fetch" if doing.startswith(("reading", "searching")) else "write")
    said = next((i.diagnostics for i in issues if _VENDOR_NUMBER.search(i.diagnostics)), "")
    told = f" - {said}" if said else _hint(reply)
    text = f"{doing}: the FHIR server answered {reply.status}{told}{_effort(reply)}"
    status = reply.status
    kinds: dict[int, type[TwinError]] = {
        401: LoginRequired,
        403: Forbidden,
        404: NotFound,
        410: NotFound,
        400: InvalidInput,
        422: InvalidInput,
        409: Conflict,
        412: Conflict,
        405: NotSupported,
        501: NotSupported,
        413: TooCostly,
    }
    if status in kinds:
        return kinds[status](text, issues=issues)
    if status == 429:
        return Throttled(text, http_status=status, issues=issues, retry_after=reply.retry_after)
    if status in (408, 504):
        return UpstreamTimeout(text, http_status=status, issues=issues)
    return UpstreamError(text, http_status=status, issues=issues, retry_after=reply.retry_after)


def _issues(reply: Reply, stage: str) -> tuple[Issue, ...]:
    found = _json(reply) if b"OperationOutcome" in reply.body[:100_000] else None
    return issues_of(found, stage=stage) if isinstance(found, dict) else ()


def _json(reply: Reply) -> Any:
    """The value of the body, decimals with the digits they have (MDL-6); None when it is no JSON."""
    try:
        return _DECODER.decode(reply.body.removeprefix(_BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        return None


def _what(reply: Reply, found: Any) -> str:
    if found is not None:
        return "JSON that is no FHIR resource"
    if not reply.body.strip():
        return "with an empty body"
    if _is_html(reply):
        return "with an HTML page (a login page or a proxy?), not with FHIR"
    if _is_xml(reply):
        return "in XML although JSON was asked for"
    return "with a body that is not valid JSON (cut short?)"


def _hint(reply: Reply) -> str:
    if _is_html(reply):
        return " with an HTML page (is the base URL right? is a proxy in the way?)"
    return {
        401: " (login needed: is the token missing, wrong or expired?)",
        403: " (not permitted with this login)",
        404: " (not found: is the base URL right?)",
    }.get(reply.status, "")


def _effort(reply: Reply) -> str:
    parts = []
    if reply.tries > 1:
        parts.append(f"{reply.tries} tries, {reply.waited:.0f} s of waiting")
    if reply.retry_after is not None and reply.status in (429, 503):
        parts.append(f"the server asks to wait {reply.retry_after:.0f} s")
    return f" ({'; '.join(parts)})" if parts else ""


def _is_html(reply: Reply) -> bool:
    start = reply.body[:200].lstrip().lower()
    return "html" in reply.content_type or start.startswith((b"<!doctype html", b"<html"))


def _is_xml(reply: Reply) -> bool:
    return "xml" in reply.content_type or reply.body[:200].lstrip().startswith(b"<")

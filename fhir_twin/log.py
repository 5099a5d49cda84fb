"""Log events by name with counts, durations and run ids. Nothing else fits through (no PHI).

    event("run.done", run=run_id, seconds=0.41, resources=312)

A field's value must be a number, a boolean, or a short word of `[A-Za-z0-9._:/-]` under a known name. Anything
else is replaced by "?" - so that a patient's name, value or free text cannot reach a log by accident. Patient
ids never go in: use `opaque(id)` where lines of one patient must be told apart.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import secrets
import sys
import time

_LOGGER = logging.getLogger("fhir_twin")
_WORD = re.compile(r"[A-Za-z0-9._:/-]{1,80}\Z")
_INSTALL_KEY = secrets.token_bytes(32)

# Only these may carry a word; every other name carries numbers and booleans.
WORD_FIELDS = frozenset(
    {"run", "stage", "type", "state", "mode", "action", "code", "error", "server", "method", "route", "patient",
     "version", "job", "software"}
)  # fmt: skip


def event(name: str, /, **fields: object) -> None:
    """Write one event. `name` is a constant in our code, never data."""
    _emit(logging.INFO, name, fields)


def warning(name: str, /, **fields: object) -> None:
    _emit(logging.WARNING, name, fields)


def failure(name: str, error: BaseException, /, **fields: object) -> None:
    """An error by its class and where in our code it arose; never its text, which may quote input."""
    _emit(logging.ERROR, name, {**fields, "error": type(error).__name__, "line": _line_of(error)})


def opaque(identifier: str) -> str:
    """A keyed hash of an id: the same within one process, useless outside it."""
    return hmac.new(_INSTALL_KEY, identifier.encode(), hashlib.sha256).hexdigest()[:12]


def set_up(level: str = "WARNING", stream: object = None) -> None:
    """Send our events as JSON lines to stderr (or `stream`); other libraries' logs are silenced below WARNING
    because they quote URLs, which can name patients."""
    handler = logging.StreamHandler(stream or sys.stderr)  # type: ignore[arg-type]
    handler.setFormatter(logging.Formatter("%(message)s"))
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel(level.upper())
    _LOGGER.propagate = False
    for noisy in ("urllib3", "requests", "werkzeug", "waitress", "gunicorn.access"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _emit(level: int, name: str, fields: dict[str, object]) -> None:
    if _LOGGER.isEnabledFor(level):
        safe = {key: _safe(key, value) for key, value in fields.items()}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        _LOGGER.log(
            level, json.dumps({"at": stamp, "level": logging.getLevelName(level), "event": name, **safe})
        )


def _safe(key: str, value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6)
    if key in WORD_FIELDS and isinstance(value, str) and _WORD.match(value):
        return value
    return "?"


def _line_of(error: BaseException) -> int:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_lineno if trace is not None else 0

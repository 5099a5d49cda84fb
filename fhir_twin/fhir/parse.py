"""Strict JSON: what a lenient parser would let through silently is refused here with a reason and a place.

Refused: NaN and Infinity, numbers no float can hold, integers of thousands of digits, nesting that only an
attack has, lone surrogates, bytes after the value, the same key twice. Decimals keep their digits (MDL-6).
No message quotes the text.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from fhir_twin.errors import InvalidInput, TooCostly

# FHIR's own deepest real structures stay below 40; an extension nested 200 deep is refused (security.md 34).
MAX_DEPTH = 100
MAX_BYTES = 512 * 1024 * 1024
MAX_DIGITS = 400

_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class _Refused(ValueError):
    """Carries our own words out of the json module's hooks."""


def parse_json(data: bytes | str, *, what: str = "input", max_bytes: int = MAX_BYTES) -> Any:
    """The value of a JSON text, decimals as `Decimal`.

    what: a name for the input in messages (a file name, "request body"). A byte order mark is skipped.
    Raises InvalidInput (with line and column where known) or TooCostly; never RecursionError."""
    if len(data) > max_bytes:
        raise TooCostly(f"{what}: larger than {max_bytes} bytes")
    text = _text(data, what)
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant
        )
    except _Refused as error:
        raise InvalidInput(f"{what}: {error}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise InvalidInput(f"{what}: not valid JSON: {error.msg}: {where}") from None
    except RecursionError:
        raise InvalidInput(f"{what}: nested deeper than {MAX_DEPTH} levels") from None
    if _depth_exceeds(value, MAX_DEPTH):
        raise InvalidInput(f"{what}: nested deeper than {MAX_DEPTH} levels")
    if "\\u" in text and _has_surrogate(value):
        raise InvalidInput(f"{what}: a string holds half of a surrogate pair")
    return value


def _text(data: bytes | str, what: str) -> str:
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what}: not UTF-8 at byte {error.start}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("an object has the same key twice")
    return found


def _float(digits: str) -> Decimal:
    value = Decimal(digits) if len(digits) <= MAX_DIGITS else None
    if value is None or not -400 < value.adjusted() < 308:
        raise _Refused("a number is too large to be used")
    return value


def _int(digits: str) -> int:
    if len(digits) > 300:
        raise _Refused("a number is too large to be used")
    return int(digits)


def _constant(_name: str) -> Any:
    raise _Refused("NaN and Infinity are no JSON numbers")


def _depth_exceeds(value: Any, limit: int) -> bool:
    """Level by level, so that depth costs no stack."""
    level: list[Any] = [[value]]
    for _ in range(limit + 1):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _has_surrogate(value: Any) -> bool:
    level = [value]
    while level:
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below += node.keys()
                below += node.values()
            elif isinstance(node, list):
                below += node
            elif isinstance(node, str) and _SURROGATE.search(node):
                return True
        level = below
    return False

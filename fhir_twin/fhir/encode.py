"""A FHIR resource as JSON bytes; decimals go out with the digits they have (MDL-6)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from fhir_twin.errors import InvalidInput


def dump_json(resource: Any) -> bytes:
    """Raises InvalidInput when it is no JSON value."""
    try:
        return orjson.dumps(resource, default=_digits)
    except (orjson.JSONEncodeError, RecursionError):
        raise InvalidInput("a resource to be written is not valid JSON") from None


def _digits(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f"))
    raise TypeError

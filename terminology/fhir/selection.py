"""The filters of an include or exclude as they are written. https://hl7.org/fhir/R4/valueset.html#compositions"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from terminology.fhir.concept import Filter
from terminology.fhir.problem import TxError, TxIssue, too_costly

Json = dict[str, Any]
MAX_FILTERS = 50


def filters_of(include: Json, where: str = "") -> list[Filter]:
    """Raises TxError for a filter with no value: it would select everything or nothing by accident. `where`: the place
    of the include in compose, to be named in the error."""
    found = []
    if len(include.get("filter") or ()) > MAX_FILTERS:
        raise too_costly(f"More than {MAX_FILTERS} filters in one include")
    for place, given in enumerate(dicts(include.get("filter"))):
        name, op, value = (given.get(k) for k in ("property", "op", "value"))
        if not isinstance(value, str) or not value.strip():
            text = f"The system {include.get('system')} filter with property = {name}, op = {op} has no value"
            path = f"ValueSet.compose.{where}.filter[{place}].value" if where else ""
            raise TxError(TxIssue("error", "invalid", "vs-invalid", text, path), status=400)
        found.append(Filter(str(name), str(op), value))
    return found


def check_filters(value_set: Json) -> None:
    """Raises TxError with the path of the first filter that has no value."""
    compose = value_set.get("compose")
    for part in ("include", "exclude") if isinstance(compose, dict) else ():
        for place, element in enumerate(dicts((compose or {}).get(part))):
            filters_of(element, f"{part}[{place}]")


def dicts(value: Any) -> Iterator[Json]:
    return (v for v in value if isinstance(v, dict)) if isinstance(value, list) else iter(())

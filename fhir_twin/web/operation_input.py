"""What goes into our operations: parameters of the query or of a Parameters resource, checked by their definition."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import request

from fhir_twin.errors import InvalidInput
from fhir_twin.service import moment_of
from fhir_twin.web.formats import resource_body
from fhir_twin.web.operation_definitions import OPERATIONS

Json = dict[str, Any]
MAX_PARAMETERS = 100
_VALUES = ("String", "Code", "DateTime", "Date", "Instant", "Decimal", "Integer", "Boolean", "Id", "Uri")


def read_parameters(operation: str) -> dict[str, list[Any]]:
    """name -> values (a part as a dict of its own), from the query or a Parameters body, each name known and as often
    as it may be. Raises InvalidInput."""
    known = {p["name"]: p for p in OPERATIONS[operation][3] if p["use"] == "in"}
    found: dict[str, list[Any]] = {}
    for name, values in request.args.lists():
        if name not in ("_format", "_pretty"):
            found.setdefault(name, []).extend(values)
    if request.method == "POST" and request.get_data():
        body = resource_body()
        rows = body.get("parameter", [])
        if (
            body.get("resourceType") != "Parameters"
            or not isinstance(rows, list)
            or len(rows) > MAX_PARAMETERS
        ):
            raise InvalidInput("the body must be a Parameters resource")
        for row in rows:
            name, value = _row(row)
            found.setdefault(name, []).append(value)
    for name, values in found.items():
        if name not in known:
            raise InvalidInput("unknown parameter; known are " + ", ".join(sorted(known)))
        if known[name]["max"] != "*" and len(values) > int(known[name]["max"]):
            raise InvalidInput(f"{name} is given too often")
    return found


def _row(row: Any) -> tuple[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise InvalidInput("every parameter needs a name")
    if isinstance(row.get("part"), list):
        pairs = [_row(part) for part in row["part"]]
        if len({name for name, _ in pairs}) != len(pairs):
            raise InvalidInput("a part is given twice")
        return row["name"], dict(pairs)
    values = [row[f"value{kind}"] for kind in _VALUES if f"value{kind}" in row]
    if len(values) != 1:
        raise InvalidInput("every parameter needs one value")
    return row["name"], values[0]


def as_of_given(given: dict[str, list[Any]]) -> datetime:
    """The moment asked for, else now."""
    if "asOf" not in given:
        return datetime.now(UTC)
    try:
        when = moment_of(str(given["asOf"][0]))
    except ValueError:
        raise InvalidInput("asOf must be a date or dateTime") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def number_given(given: dict[str, list[Any]], name: str, default: float) -> float:
    """A number, `default` when it is not given."""
    if name not in given:
        return default
    try:
        value = float(str(given[name][0]))
    except ValueError:
        value = float("nan")
    if value != value:
        raise InvalidInput(f"{name} must be a number")
    return value


def flag_given(given: dict[str, list[Any]], name: str) -> bool:
    """A boolean, False when it is not given."""
    value = given.get(name, [False])[0]
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false")
    return bool(value == "true")


_CHOICE = {"intervention": "intervention", "dose": "dose", "delayYears": "delay_years", "adherence": "adherence",
           "stop": "stop", "fromDose": "from_dose"}  # fmt: skip


def choice_given(row: Any) -> Json:
    """A choice of $simulate in the keys of `what_if`."""
    if not isinstance(row, dict) or not set(row) <= set(_CHOICE):
        raise InvalidInput("a choice has the parts " + ", ".join(_CHOICE))
    if not isinstance(row.get("stop", False), bool):
        raise InvalidInput("stop must be a valueBoolean")
    return {_CHOICE[name]: value for name, value in row.items()}

"""The hot path: NDJSON lines -> typed rows, for population work (performance.md 1.1).

One msgspec decode per line into a union tagged by resourceType; only what a row needs is decoded, the raw line
stays beside it. A bad line becomes a `BadLine` with its number and offset: nothing stops, nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from fhir_twin.fhir import rows as r
from fhir_twin.fhir.systems import SOFTWARE_TAG, TAGS, is_own_identifier_system

MAX_LINE = 64 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_NO_CODING = r.Coding()
_Observation = r.Observation
# (system, code, value, unit)
Part = tuple[str, str, Decimal | None, str]
# Types whose subject, time and status are where most resources have them.
_ORDINARY = r.ROW_TYPES - {"Patient", "Encounter", "Condition", "AllergyIntolerance"}


class Row(msgspec.Struct, frozen=True, gc=False):
    """One resource of one line. patient: the reference as written ("Patient/1"). For an Observation with
    components the row is about the whole; its components are in `parts` as (system, code, value, unit).
    status is the resource's own (entered-in-error rows are given, for the caller to drop); `own` marks our own
    earlier output (CP-4), `odd` an unknown modifier (RD-10): neither may be used as patient data."""

    type: str
    id: str
    patient: str
    status: str
    system: str
    code: str
    time: str
    value: Decimal | None
    comparator: str
    unit: str
    parts: tuple[Part, ...]
    own: bool
    odd: bool
    raw: bytes


class BadLine(msgspec.Struct, frozen=True, gc=False):
    """A line that is no resource we can read. reason: a rule, never content."""

    number: int
    offset: int
    length: int
    reason: str


_DECODER = msgspec.json.Decoder(r.AnyRow)


def read_lines(lines: Iterable[bytes]) -> Iterator[Row | BadLine | None]:
    """One item per non-blank line: a Row, a BadLine, or None for a type that no row is made of.

    lines: with or without their line ends; offsets count the bytes as given."""
    offset = 0
    decode, make, too_long = _DECODER.decode, row_of, MAX_LINE
    for number, line in enumerate(lines, 1):
        length = len(line)
        try:
            if length > too_long:
                yield BadLine(number, offset, length, "line is too long")
            else:
                yield make(decode(line), line)
        except msgspec.ValidationError as error:
            yield _other_type(line, number, offset, error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not line.isspace() and line:
                yield _again(line, number, offset, error)
        offset += length


def row_of(given: r.AnyRow, raw: bytes) -> Row:
    """The row of one decoded resource."""
    kind, concept, about = given.kind, given.concept, given.about
    coding = concept.coding[0] if concept is not None and concept.coding else _NO_CODING
    time, status = given.time or given.other_time or "", given.status
    value: Decimal | None = None
    comparator: str | None = None
    unit: str | None = None
    parts: tuple[Part, ...] = ()
    if kind == "Observation":
        assert type(given) is r.Observation
        quantity = given.value_quantity
        if quantity is not None:
            value, comparator, unit = quantity.value, quantity.comparator, quantity.code or quantity.unit
        elif given.component:
            parts = _parts(given.component)
    elif kind not in _ORDINARY:
        about, time, status = _special(given, about, time, status)
    return Row(
        kind,
        given.id or "",
        (about.reference or "") if about is not None else "",
        status or "",
        coding.system or "",
        coding.code or "",
        time,
        value,
        comparator or "",
        unit or "",
        parts,
        _is_own(given) if (given.meta is not None and given.meta.tag) or given.identifier else False,
        given.modifier_extension != () or given.implicit_rules is not None,
        raw,
    )


def _special(
    given: r.AnyRow, about: r.Reference | None, time: str, status: str | None
) -> tuple[r.Reference | None, str, str | None]:
    """(about, time, status) of the types that keep them elsewhere."""
    if isinstance(given, r.Patient):
        return (r.Reference(f"Patient/{given.id}") if given.id else None), time, status
    if isinstance(given, r.Encounter):
        return about, (given.period.start or "" if given.period is not None else ""), status
    if isinstance(given, r.Condition):  # AllergyIntolerance too
        for concept in (given.certainty, given.state):
            code = concept.coding[0].code if concept is not None and concept.coding else None
            if code is not None and (
                concept is given.state or code.strip() in ("entered-in-error", "refuted")
            ):
                return about, time, code.strip()
    return about, time, status


def _parts(components: tuple[r.Component, ...]) -> tuple[Part, ...]:
    found = []
    for each in components:
        coding = each.code.coding[0] if each.code is not None and each.code.coding else None
        quantity = each.value_quantity
        if coding is not None and not each.modifier_extension:
            value = quantity.value if quantity is not None else None
            unit = (quantity.code or quantity.unit or "") if quantity is not None else ""
            found.append((coding.system or "", coding.code or "", value, unit))
    return tuple(found)


def _is_own(given: r.AnyRow) -> bool:
    tags = given.meta.tag if given.meta is not None else ()
    if any(tag.system == TAGS and tag.code == SOFTWARE_TAG for tag in tags):
        return True
    return any(i.system is not None and is_own_identifier_system(i.system) for i in given.identifier)


class _Typed(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: str


_TYPE = msgspec.json.Decoder(_Typed)


def _other_type(line: bytes, number: int, offset: int, error: msgspec.ValidationError) -> BadLine | None:
    """A type we make no rows of is no error; a wrong element in one of ours is."""
    try:
        kind = _TYPE.decode(line).resource_type
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return BadLine(number, offset, len(line), "no resourceType")
    if kind in r.ROW_TYPES:
        path = str(error).rpartition(" - at `$")[2].rstrip("`").lstrip(".") or "?"
        return BadLine(number, offset, len(line), f"element of a wrong type: {kind}.{path}")
    return (
        None
        if kind.isascii() and kind.isalpha() and len(kind) <= 64
        else BadLine(number, offset, len(line), "no type")
    )


def _again(line: bytes, number: int, offset: int, error: Exception) -> Row | BadLine | None:
    """A byte order mark on the first line is forgiven; the rest is no JSON."""
    if number == 1 and line.startswith(_BOM):
        rest = line.removeprefix(_BOM)
        return next(iter(read_lines([rest])), None)
    reason = "nested too deep" if isinstance(error, RecursionError) else "not valid JSON"
    if isinstance(error, UnicodeDecodeError):
        reason = "not UTF-8"
    return BadLine(number, offset, len(line), reason)

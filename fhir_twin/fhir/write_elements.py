"""The small JSON elements that every written resource is made of. All text passes `clean`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from fhir_twin.fhir.identity import parse_source
from fhir_twin.model.codes import UCUM, Coding, Concept

Json = dict[str, Any]

# FHIR strings hold no control characters but tab, CR and LF; XML holds no surrogates and no U+FFFE/U+FFFF; and
# direction overrides (bidi) would let a text lie about what it says.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff]"
)
_SPACE = re.compile(r"\s+")
MAX_TEXT = 20_000


def harmless(text: str) -> str:
    """Text without characters that JSON, XML or a reader's eye cannot carry safely; blanks stay."""
    return text if text.isprintable() else _UNSAFE.sub("", text)  # whatever is printable is safe


def clean(text: str) -> str:
    """Text as it may stand in FHIR JSON and XML: unsafe characters out, ends trimmed, at most 20,000 long."""
    safe = harmless(text).strip()
    return safe if len(safe) <= MAX_TEXT else safe[: MAX_TEXT - 1].rstrip() + "…"


def line(text: str) -> str:
    """Like `clean`, on one line."""
    safe = clean(text)
    return _SPACE.sub(" ", safe) if "  " in safe or not safe.isprintable() else safe


def compact(resource: Json) -> Json:
    """`resource` without empty members (FHIR allows none). 0 and False stay."""
    kept = {}
    for name, value in resource.items():
        if isinstance(value, str):
            if value:
                kept[name] = value
            continue
        if isinstance(value, dict):
            value = compact(value)
        elif isinstance(value, list):
            value = [v for v in (compact(x) if isinstance(x, dict) else x for x in value) if _filled(v)]
        if _filled(value):
            kept[name] = value
    return kept


def _filled(value: Any) -> bool:
    return value is not None and value not in ("", [], {})


def instant(moment: datetime) -> str:
    """dateTime/instant with offset, whole seconds. Raises ValueError on a naive time."""
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone")
    return moment.replace(microsecond=0).isoformat()


def coding(one: Coding) -> Json | None:
    """None when the code is empty; a system that is no URI is left out rather than written wrong."""
    code = line(one.code)
    if not code:
        return None
    system = one.system if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*:[!-~]+", one.system) else ""
    return compact({"system": system, "code": code, "display": line(one.display)})


def concept(value: Concept, fallback: str = "") -> Json:
    """A CodeableConcept with all codings and always some text."""
    codings = [c for c in (coding(one) for one in value.codings) if c]
    text = line(value.text) or line(fallback) or line(value.label)
    return compact({"coding": codings, "text": text})


def code(system: str, value: str, display: str = "", text: str = "") -> Json:
    return compact({"coding": [{"system": system, "code": value, "display": display}], "text": text})


def number(value: Decimal) -> int | float:
    """A JSON number that every JSON writer can write. Raises ValueError when it is not finite."""
    if not value.is_finite():
        raise ValueError("a number must be finite")
    return int(value) if value == value.to_integral_value() else float(value)


def quantity(value: Decimal, unit: str, unit_code: str, comparator: str = "") -> Json:
    """A UCUM Quantity."""
    return compact(
        {
            "value": number(value),
            "comparator": comparator if comparator in ("<", "<=", ">=", ">") else "",
            "unit": line(unit),
            "system": UCUM if unit_code else "",
            "code": unit_code,
        }
    )


def reference(source: str, display: str = "", *, versioned: bool = True) -> Json:
    """A reference to a source of the record: relative, with its version when known.

    A source that no server can resolve (urn:uuid, a file's own name) becomes an identifier, never a dangling
    reference."""
    parsed = parse_source(source)
    if parsed is None:
        value = re.sub(r"\s", "", clean(source))
        return compact(
            {"identifier": {"system": "urn:ietf:rfc:3986", "value": value}, "display": line(display)}
        )
    return compact(
        {"reference": parsed.versioned if versioned else parsed.reference, "display": line(display)}
    )


def references(sources: Iterable[str], *types: str) -> list[Json]:
    """One reference per distinct source that is one of `types` (all when none are given), order kept."""
    chosen: dict[str, Json] = {}
    for source in sources:
        parsed = parse_source(source)
        if types and (parsed is None or parsed.type not in types):
            continue
        chosen.setdefault(parsed.reference if parsed else source, reference(source))
    return list(chosen.values())


def note(*texts: str) -> list[Json]:
    """Annotations, one per non-empty text."""
    return [{"text": t} for t in (clean(text) for text in texts) if t]


def percent(probability: float) -> int | float:
    """A probability 0..1 as per cent 0..100 (RA-1), one decimal, two significant digits below 1 %: rounding keeps
    a second run on the next day from differing by noise. Raises ValueError outside 0..1 or for NaN."""
    if not 0.0 <= probability <= 1.0:
        raise ValueError("a probability lies between 0 and 1")
    value = Decimal(repr(probability * 100.0))
    step = Decimal("0.1") if value >= 1 else Decimal("0.01") if value >= Decimal("0.1") else Decimal("0.001")
    return number(value.quantize(step))

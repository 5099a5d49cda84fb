"""OBX-2 and OBX-5 -> the value of an Observation (V2-7). What cannot be read as its type is kept as text."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from fhir_twin.intake.hl7v2 import Rep, Segment
from fhir_twin.intake.hl7v2_types import Json, Scribe, kept
from fhir_twin.intake.moments import fhir_moment
from fhir_twin.intake.numbers import number_with_unit, quantity, read_number

TEXT_TYPES = frozenset(
    {"ST", "FT", "TX", "VR", "", "ID", "CX", "XPN", "XTN", "XAD", "XON", "XCN", "EI", "PL", "MO", "CP"}
)
LONG_TEXT = frozenset({"FT", "TX"})
CODED = frozenset({"CE", "CWE", "CNE", "CF", "IS"})
MAX_ATTACHMENT = 24 * 1024 * 1024
_KINDS = {"PDF": "application/pdf", "RTF": "text/rtf", "HTML": "text/html", "XML": "text/xml", "JPEG": "image/jpeg",
          "PNG": "image/png", "TIFF": "image/tiff", "TXT": "text/plain", "CDA": "text/xml", "PLAIN": "text/plain",
          "OCTET-STREAM": "application/octet-stream"}  # fmt: skip
_COMPARATORS = {"<": "<", ">": ">", "<=": "<=", ">=": ">=", "": "", "=": ""}


def read_value(scribe: Scribe, obx: Segment, rep: Rep) -> Json:
    """{"valueQuantity": ...} and the like for one repetition of OBX-5; {} when it is empty."""
    kind = obx.v(2).upper()
    if kind == "NM" or (kind in ("ST", "") and read_number(rep.all()) is not None):
        return _number(scribe, obx, rep, kind)
    if kind == "SN":
        return _structured(scribe, obx, rep)
    if kind in CODED:
        return _coded(scribe, rep)
    if kind in ("DT", "DTM", "TS"):
        when = fhir_moment(rep.c(1), scribe.site.zone)
        return {"valueDateTime": when} if when else _text(rep)
    if kind == "TM":
        found = re.fullmatch(r"(\d\d):?(\d\d):?(\d\d)?(?:[.+-].*)?", rep.c(1))
        return {"valueTime": f"{found[1]}:{found[2]}:{found[3] or '00'}"} if found else _text(rep)
    if kind == "DR":
        start, end = (fhir_moment(rep.c(n), scribe.site.zone) for n in (1, 2))
        return {"valuePeriod": kept(start=start, end=end)} if start or end else _text(rep)
    if kind == "NR":
        return _range(scribe, obx, rep)
    if kind == "CQ":
        return _number(scribe, obx, rep, kind)
    return _text(rep, unit=not obx.first(6))


def _text(rep: Rep, *, unit: bool = False) -> Json:
    """unit: no unit is given beside the value, so it may stand in the text."""
    text = rep.all()
    if unit and (found := number_with_unit(text)) is not None:
        return {"valueQuantity": quantity(*found)}
    return {"valueString": text} if text else {}


def _number(scribe: Scribe, obx: Segment, rep: Rep, kind: str) -> Json:
    unit = _unit(scribe, obx)
    found = read_number(rep.c(1) if kind in ("CQ", "NM") else rep.all())
    if found is None:
        if kind == "NM" and rep.all():
            scribe.note(
                "information", "value", "a value of type NM is no number; it was kept as text", obx, "5"
            )
        return _text(rep)
    if kind == "CQ" and rep.whole(2):
        unit = {"unit": rep.whole(2)}
    return {
        "valueQuantity": quantity(*found, unit.get("unit", ""), unit.get("code", ""), unit.get("system", ""))
    }


def _unit(scribe: Scribe, obx: Segment) -> Json:
    return scribe.unit(obx.first(6))


def _structured(scribe: Scribe, obx: Segment, rep: Rep) -> Json:
    """SN: comparator ^ number ^ separator ^ number."""
    comparator, one, sep, two = (rep.c(n).strip() for n in (1, 2, 3, 4))
    first, second = read_number(one), read_number(two)
    unit = _unit(scribe, obx)

    def plain(pair: tuple[str, Any], sign: str = "") -> Json:
        return quantity(
            sign or pair[0], pair[1], unit.get("unit", ""), unit.get("code", ""), unit.get("system", "")
        )

    if first is None or comparator not in _COMPARATORS or (sep and sep not in ("-", ":", "/")):
        return _spelled(rep)
    if not sep and second is None:
        return {"valueQuantity": plain(first, _COMPARATORS[comparator])}
    if second is None or comparator not in ("", "="):
        return _spelled(rep)
    if sep == "-":
        if first[1] > second[1]:
            return _spelled(rep)
        return {"valueRange": {"low": plain(first), "high": plain(second)}}
    if sep in (":", "/"):
        return {"valueRatio": {"numerator": {"value": first[1]}, "denominator": {"value": second[1]}}}
    return _spelled(rep)


def _spelled(rep: Rep) -> Json:
    text = "".join(rep.c(n).strip() for n in (1, 2, 3, 4)) or rep.all()
    return {"valueString": text} if text else {}


def _coded(scribe: Scribe, rep: Rep) -> Json:
    concept = scribe.concept(rep)
    return {"valueCodeableConcept": concept} if concept else {}


def _range(scribe: Scribe, obx: Segment, rep: Rep) -> Json:
    low, high = read_number(rep.c(1)), read_number(rep.c(2))
    if (low is None and high is None) or (low and high and low[1] > high[1]):
        return _text(rep)
    unit = _unit(scribe, obx)
    ends = {
        name: quantity("", pair[1], unit.get("unit", ""), unit.get("code", ""), unit.get("system", ""))
        for name, pair in (("low", low), ("high", high))
        if pair
    }
    return {"valueRange": ends}


def read_attachment(scribe: Scribe, obx: Segment) -> list[Json]:
    """ED (the data itself) and RP (a pointer, which is never followed: security 5.3 row 14) -> Attachments."""
    found = []
    for rep in obx.reps(5):
        made = _data(scribe, obx, rep) if obx.v(2).upper() == "ED" else _pointer(rep)
        if made:
            title = obx.first(3).c(2) or obx.first(3).c(1)
            found.append(kept(**made, title=title))
    return found


def _media_type(*words: str) -> str:
    for word in words:
        if "/" in word and word.isascii() and len(word) < 80:
            return word.lower()
        if word.upper() in _KINDS:
            return _KINDS[word.upper()]
    return "application/octet-stream"


def _data(scribe: Scribe, obx: Segment, rep: Rep) -> Json:
    coding, data = rep.c(4).upper(), rep.whole(5)
    if not data:
        return {}
    if len(data) > MAX_ATTACHMENT:
        scribe.note("warning", "too-long", "an attachment is larger than this service keeps", obx, "5")
        return {}
    kind = _media_type(rep.c(3), rep.c(2), "text/plain" if coding == "A" else "")
    try:
        if coding == "BASE64":
            raw = base64.b64decode("".join(data.split()), validate=True)
        elif coding == "HEX":
            raw = bytes.fromhex(data)
        else:
            raw = data.encode("utf-8")
    except (ValueError, binascii.Error):
        scribe.note("warning", "value", "an attachment's encoding cannot be read; it was left out", obx, "5")
        return {}
    return {"contentType": kind, "data": base64.b64encode(raw).decode("ascii")}


def _pointer(rep: Rep) -> Json:
    url = rep.c(1)
    ok = url.startswith(("http://", "https://")) and url.isascii() and " " not in url and len(url) < 2000
    return kept(contentType=_media_type(rep.c(4), rep.c(3)), url=url if ok else "", title="" if ok else url)

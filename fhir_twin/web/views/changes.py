"""What will be written, as a diff: one line per element that is added, changed or taken out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_twin.fhir.narrative import plain_text
from fhir_twin.model.decision import Change
from fhir_twin.model.plain import to_plain

Json = dict[str, Any]
ACTIONS = {
    "create": "New",
    "update": "Changed",
    "cancel": "Withdrawn",
    "unchanged": "Unchanged",
    "left-to-clinician": "Left as a clinician made it",
    "dropped": "Not taken by this server",
    "accept": "Accepted by you",
    "reject": "Declined by you",
}
_SKIP = frozenset({"id", "resourceType", "meta"})
_OWN = ("/ids/fhir-twin-content", "/ids/fhir-twin-item")
LONGEST = 600
# What says what is decided, ordered or aimed at; the rest is how it is written down.
_MAIN = re.compile(
    r"(?:status|lifecycleStatus|intent|doNotPerform|title|statusReason\.text"
    r"|extension\[\d+\]\.valueCodeableConcept\.text"
    r"|(?:medicationCodeableConcept|code|description|valueCodeableConcept)\.text|valueString"
    r"|priority\.coding\[\d\]\.display"
    r"|dosageInstruction\[\d+\]\.text|oralDiet\.(?:type\[\d+\]\.text|instruction)|payload\[\d+\]\.contentString"
    r"|note\[[1-9]\d*\]\.text|detail|severity|target\[\d+\]\.(?:measure\.text|detailQuantity\.(?:value|comparator|unit))"
    r"|prediction\[\d+\]\.(?:outcome\.text|probabilityDecimal|qualitativeRisk\.text)|reasonCode\[\d+\]\.text)\Z"
)


@dataclass(frozen=True, slots=True, repr=False)
class DiffLine:
    """place: "dosageInstruction[0].text"; before and after in words, "" = not there. main: what is read first."""

    place: str
    before: str
    after: str
    main: bool


@dataclass(frozen=True, slots=True, repr=False)
class ChangeRow:
    """sends: something of it will be sent. json: the whole resource that will be sent."""

    type: str
    title: str
    action: str
    action_words: str
    note: str
    lines: tuple[DiffLine, ...]
    json: str
    sends: bool
    by: str


def change_row(change: Change) -> ChangeRow:
    lines = tuple(diff(change.before, change.after)) if change.after is not None else ()
    return ChangeRow(
        change.type,
        change.title,
        change.action,
        ACTIONS.get(change.action, change.action),
        change.note,
        lines,
        json.dumps(to_plain(change.after), indent=2, ensure_ascii=False) if change.after is not None else "",
        change.after is not None,
        change.by,
    )


def diff(before: Json | None, after: Json | None) -> Iterator[DiffLine]:
    """Leaves that differ, in the order of the new resource; server metadata and our own marks are left out."""
    old, new = dict(_leaves(before or {})), dict(_leaves(after or {}))
    for place in dict.fromkeys((*new, *old)):
        if old.get(place) != new.get(place):
            main = _MAIN.match(place) is not None
            yield DiffLine(place, _short(old.get(place, "")), _short(new.get(place, "")), main)


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if any(str(value.get("system", "")).endswith(end) for end in _OWN):
            return
        for key, member in value.items():
            if place or key not in _SKIP:
                if key == "div":
                    yield f"{place}.{key}", plain_text(str(member)) or ""
                else:
                    yield from _leaves(member, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for i, member in enumerate(value):
            yield from _leaves(member, f"{place}[{i}]")
    elif value is not None:
        plain: Any = to_plain(value)
        words: str = plain if isinstance(plain, str) else json.dumps(plain)
        yield place, words


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\u2026"

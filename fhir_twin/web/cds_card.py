"""The pieces of a card, within the limits of CDS Hooks 2.0 (CR-1..6). Nothing null or empty ever gets out (CH-8)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from fhir_twin.fhir.systems import HOME
from fhir_twin.model.plan import Citation

Indicator = Literal["info", "warning", "critical"]
Json = dict[str, Any]
TOPICS = f"{HOME}/CodeSystem/cds-topic"
REASONS = f"{HOME}/CodeSystem/cds-override-reason"
LONGEST = 139  # a summary must be shorter than 140 characters
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")
_BLANK = re.compile(r"\s+")
OVERRIDES = (
    ("considered", "Already considered; benefit outweighs the risk"),
    ("data-wrong", "The data it rests on are wrong or out of date"),
    ("declined", "The patient does not want it"),
    ("other-plan", "Handled in another way or by somebody else"),
    ("not-applicable", "Does not apply to this patient"),
)


@dataclass(frozen=True, slots=True, repr=False)
class Suggestion:
    """topic: what accepting it answers. actions: without empty members; all of them belong together (CR-3)."""

    label: str
    topic: str
    actions: tuple[Json, ...]
    recommended: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Card:
    """A card before it is sent: without uuids and links. topic: stable, for overrides; code, display: of its kind."""

    summary: str
    indicator: Indicator
    detail: str
    topic: str
    code: str
    display: str
    suggestions: tuple[Suggestion, ...] = ()
    behaviour: str = "any"
    overridable: bool = True
    linked: bool = True


def line(text: str, longest: int = LONGEST) -> str:
    """One line of plain text, cut at a word with an ellipsis when it is too long."""
    plain = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    plain = _BLANK.sub(" ", plain).strip()
    if len(plain) <= longest:
        return plain
    cut = plain[: longest - 1].rsplit(" ", 1)[0] if " " in plain[: longest - 1] else plain[: longest - 1]
    return cut.rstrip(" ,;:.") + "…"


def escaped(text: str) -> str:
    """Text from a record as GFM that shows it and does nothing else: no link, image, HTML, heading or list."""
    plain = line(text, 2000).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = _SPECIAL.sub(r"\\\1", plain)
    return plain.replace("://", ":&#47;&#47;").replace("www.", "www&#46;").replace("@", "&#64;")


def bullets(texts: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(t)}" for t in texts if t.strip())


def section(title: str, body: str) -> str:
    return f"**{escaped(title)}**\n\n{body}" if body.strip() else ""


def paragraphs(*parts: str) -> str:
    return "\n\n".join(p for p in parts if p.strip())


def source_words(citation: Citation | None) -> str:
    if citation is None:
        return ""
    where = f" doi {citation.doi}" if citation.doi else (f" PMID {citation.pmid}" if citation.pmid else "")
    return escaped(f"Source: {citation.text}{where}")


def finished(card: Card, launch_url: str, context: str, home: str) -> tuple[Json, dict[str, str]]:
    """(the card as JSON, uuid of each suggestion -> its topic). launch_url "" = no link."""
    ids: dict[str, str] = {}
    suggestions = []
    for s in card.suggestions:
        own = str(uuid.uuid4())
        ids[own] = s.topic
        suggestions.append(
            {
                "label": line(s.label, 200),
                "uuid": own,
                **({"isRecommended": True} if s.recommended else {}),
                "actions": list(s.actions),
            }
        )
    value: Json = {
        "uuid": str(uuid.uuid4()),
        "summary": line(card.summary),
        "detail": card.detail,
        "indicator": card.indicator,
        "source": {
            "label": "fhir-twin",
            **({"url": home} if home.startswith("https://") else {}),
            "topic": {"system": TOPICS, "code": card.code, "display": card.display},
        },
    }
    if suggestions:
        value["suggestions"] = suggestions
        value["selectionBehavior"] = card.behaviour
    if card.overridable:
        value["overrideReasons"] = [{"system": REASONS, "code": c, "display": d} for c, d in OVERRIDES]
    if launch_url and card.linked:
        link = {"label": "Open the patient's twin", "url": launch_url, "type": "smart", "appContext": context}
        value["links"] = [link]
    return {k: v for k, v in value.items() if v not in ("", [], {}, None)}, ids


def create(resource: Json, description: str) -> Json:
    return {"type": "create", "description": line(description, 300), "resource": resource}


def delete(reference: str, description: str) -> Json:
    return {"type": "delete", "description": line(description, 300), "resourceId": reference}

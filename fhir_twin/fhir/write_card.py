"""Model cards as DocumentReferences (HT-1): one per model, with all 31 source attributes of a predictive DSI.

What a card does not say is written down as "not available": a gap is part of the answer.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from fhir_twin.fhir.systems import HOME, SOFTWARE_TAG, TAGS
from fhir_twin.fhir.write_elements import compact, instant, line

Json = dict[str, Any]
_AIT = "http://hl7.org/fhir/uv/aitransparency/CodeSystem/AIinputsCS"
NONE = "not available"
_HERE = "fhir-twin (open source); contact: the project's issue tracker"
_PROCESS = "shadow comparison in `fhir-twin validate`; released with the knowledge version"
_UPDATES = "with each release of the knowledge; changed numbers are told in the changelog, section Knowledge"

# The 31 attributes of 170.315(b)(11)(iv)(B) in their order: words -> keys of the card that answer, or our fixed answer.
ATTRIBUTES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Developer and contact", (), _HERE),
    ("Funding of the technical implementation", (), "none from industry; see LICENSE"),
    ("Value produced", ("output",), ""),
    ("Type of output", ("kind",), ""),
    ("Intended use", ("purpose",), ""),
    ("Intended population", ("valid_range", "population"), ""),
    ("Intended users", (), "clinicians who can check the basis of each proposal"),
    ("Decision role", (), "informs and augments; every plan is a draft that a clinician decides on"),
    ("Out of scope", ("refuses",), ""),
    ("Known risks and limitations", ("limits",), ""),
    ("Inclusion and exclusion criteria of the training data", ("population",), ""),
    ("Use of race, ethnicity, sex, age, social and other variables as inputs", ("inputs",), ""),
    ("Demographic representativeness", ("fairness",), ""),
    ("Relevance of the training data to the deployed setting", ("valid_range",), ""),
    ("Approach to fair output", ("fairness",), ""),
    ("Approaches to manage bias", ("fairness",), ""),
    ("External validation: data source", ("external_data", "checked"), ""),
    ("External validation: party", ("external_party",), ""),
    ("External validation: representativeness", ("external_population",), ""),
    ("External validation: process", ("external_process",), ""),
    ("Validity, internal data", ("performance", "checked"), ""),
    ("Fairness, internal data", ("fairness",), ""),
    ("Validity, external data", ("external_performance",), ""),
    ("Fairness, external data", ("external_fairness",), ""),
    ("References to outcome evaluations", ("outcome_evaluations",), ""),
    ("Validity monitoring", (), _PROCESS),
    ("Validity in local data", ("local_validity",), ""),
    (
        "Fairness monitoring",
        (),
        "fairness report of `fhir-twin population`, by the site, as often as it decides",
    ),
    ("Fairness in local data", ("local_fairness",), ""),
    ("Update process and frequency", (), _UPDATES),
    ("Correction when risks are found", (), _UPDATES),
)


def card_document(card: Mapping[str, Any], version: str, when: datetime) -> Json:
    """card: one table of mappings/model-cards. version: of the knowledge. when: of its release."""
    key = str(card["key"])
    title = f"Model card: {line(str(card['name']))}"
    return compact(
        {
            "resourceType": "DocumentReference",
            "id": f"model-card-{key}",
            "meta": {"tag": [{"system": TAGS, "code": SOFTWARE_TAG}]},
            "masterIdentifier": {"system": f"{HOME}/model-cards", "value": f"{key}|{version}"},
            "identifier": [{"system": f"{HOME}/model-cards", "value": key}],
            "status": "current",
            "docStatus": "final",
            "type": {"coding": [{"system": _AIT, "code": "AIModelCard"}], "text": "Model card"},
            "date": instant(when),
            "description": title,
            "content": [
                _content("text/markdown", card_text(card, version).encode(), title),
                _content("application/json", orjson.dumps({**card, "attributes": attributes(card)}), title),
            ],
        }
    )


def attributes(card: Mapping[str, Any]) -> dict[str, str]:
    """All 31, in order."""
    return {words: fixed or _from(card, keys) for words, keys, fixed in ATTRIBUTES}


def card_text(card: Mapping[str, Any], version: str) -> str:
    """In plain words, as Markdown."""
    rows = "\n".join(f"- **{words}**: {text}" for words, text in attributes(card).items())
    sources = "\n".join(
        f"- {e.get('text', '')} {'' if e.get('verified') else '(unverified)'}".rstrip()
        for e in card.get("evidence", ())
    )
    licence = line(str(card.get("licence", NONE)))
    return (
        f"# {card['name']}\n\nKnowledge {version}. {licence}\n\n{rows}\n\n## Sources\n\n{sources or NONE}\n"
    )


def _from(card: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((line(str(card[k])) for k in keys if card.get(k)), NONE)


def _content(kind: str, data: bytes, title: str) -> Json:
    return {"attachment": {"contentType": kind, "data": base64.b64encode(data).decode(), "title": title}}

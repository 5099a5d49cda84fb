"""Each equation has a model card, and each card says all it must."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from fhir_twin.dynamics.equations.registry import EQUATIONS
from mappings import Source

CARDS = dict(Source().toml("model-cards"))
WANTED = ("key", "name", "kind", "purpose", "population", "inputs", "output", "valid_range", "refuses")
WANTED += ("checked", "limits", "fairness", "licence", "evidence")
OURS = [name for name, card in CARDS.items() if "equations" in card]


def test_every_equation_has_exactly_one_card() -> None:
    for name in EQUATIONS:
        cards = [c["key"] for c in CARDS.values() if any(fnmatch(name, p) for p in c.get("equations", []))]
        assert len(cards) == 1, (name, cards)


@pytest.mark.parametrize("name", OURS)
def test_card_is_complete(name: str) -> None:
    card = CARDS[name]
    assert [key for key in WANTED if not card.get(key)] == []
    assert card["key"] == name.removesuffix(".toml")
    for pattern in card["equations"]:
        assert any(fnmatch(equation, pattern) for equation in EQUATIONS), pattern
    for evidence in card["evidence"]:
        assert {"key", "text", "claim", "value", "verified"} <= set(evidence)

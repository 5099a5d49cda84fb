"""People to choose from: what is asked, and what of odd answers is shown."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_twin.errors import InvalidInput
from fhir_twin.transport.patient_list import find_patients


class Server:
    def __init__(self, *rows: Any, more: bool = False) -> None:
        self.rows, self.more = rows, more
        self.asked: list[dict[str, Any]] = []

    def search_page(self, type_: str, params: dict[str, Any], *, private: bool) -> dict[str, Any]:
        assert type_ == "Patient"
        assert private, "names belong into a body, not into a URL"
        self.asked.append(
            {k: v for k, v in params.items() if not k.startswith("_count") and k != "_elements"}
        )
        links = [{"relation": "next", "url": "x"}] if self.more else []
        return {"resourceType": "Bundle", "link": links, "entry": [{"resource": r} for r in self.rows]}


def person(id_: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id_,
        "name": [{"family": "Bell", "given": ["Ann", "B."]}],
        **more,
    }


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("", [{}]),
        ("  bell ", [{"name": ["bell"]}]),
        ("ann bell 1968-04-12", [{"name": ["ann", "bell"], "birthdate": ["1968-04-12"]}]),
        ("MRN-77", [{"name": ["MRN-77"]}, {"identifier": "MRN-77"}, {"_id": "MRN-77"}]),
        ("urn:mrn|77", [{"name": ["urn:mrn\\|77"]}, {"identifier": "urn:mrn|77"}]),
        ("o,neil $x", [{"name": ["o\\,neil", "\\$x"]}]),
    ],
)
def test_what_words_may_mean(words: str, asked: list[dict[str, Any]]) -> None:
    server = Server()
    find_patients(server, words)  # type: ignore[arg-type]
    assert server.asked == asked


def test_rows_are_sorted_and_cut_and_more_is_said() -> None:
    server = Server(person("b"), person("a", active=False), person("c", name=[{"text": "Abel"}]))
    rows, more = find_patients(server, "", most=2)  # type: ignore[arg-type]
    assert [(r.id, r.name) for r in rows] == [("c", "Abel"), ("b", "Bell, Ann B.")]
    assert more


def test_odd_answers_cost_only_themselves() -> None:
    odd = [None, "x", {"resourceType": "Group", "id": "g"}, person("../etc"), person("ok", name="no list", gender=5),
           person("gone", link=[{"type": "replaced-by", "other": {"reference": "Patient/ok"}}])]  # fmt: skip
    rows, more = find_patients(Server(*odd), "")  # type: ignore[arg-type]
    assert [(r.id, r.name, r.sex) for r in rows] == [("ok", "", "")]
    assert not more


def test_a_novel_is_no_search() -> None:
    with pytest.raises(InvalidInput):
        find_patients(Server(), "x" * 300)  # type: ignore[arg-type]

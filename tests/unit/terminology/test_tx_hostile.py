"""Questions meant to hurt: wrong shapes, endless value sets, huge filters. A refusal in bounded time, never a crash."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from tx import AT, CS, VS, ask, code_system, codes, empty, value_set

from terminology.fhir import operations
from terminology.fhir.operations import Asker
from terminology.fhir.problem import TxError
from terminology.fhir.shape import mended
from terminology.store import Terminology

WEIRD: list[Any] = [
    None, True, 0, -1, 1e300, "", "\x00", "\ud800", "a" * 5_000, [], {}, [None], [[]], {"code": []}, {"coding": "x"},
    {"coding": [5]}, {"resourceType": 5}, "|", "?fhir_vs", "http://x?fhir_vs=isa/",
]  # fmt: skip
MAP = {"resourceType": "ConceptMap", "url": "http://example.org/m", "group": [
    {"source": CS, "target": "t", "element": [
        {"code": "h", "target": [{"code": "x", "equivalence": "equal"}]}]}]}  # fmt: skip
ASKED: dict[str, list[dict[str, Any]]] = {
    "lookup": [{"name": "system", "valueUri": CS}, {"name": "code", "valueCode": "h"}],
    "validate_in_system": [{"name": "url", "valueUri": CS}, {"name": "code", "valueCode": "h"}],
    "subsumes": [{"name": "system", "valueUri": CS}, {"name": "codeA", "valueCode": "h"},
                 {"name": "codeB", "valueCode": "d"}],
    "expand": [{"name": "url", "valueUri": VS}],
    "validate_in_value_set": [{"name": "url", "valueUri": VS},
                              {"name": "coding", "valueCoding": {"system": CS, "code": "h"}}],
    "translate": [{"name": "system", "valueUri": CS}, {"name": "code", "valueCode": "h"}],
}  # fmt: skip


def spoiled(value: Any, rng: random.Random, share: float) -> Any:
    if rng.random() < share:
        return copy.deepcopy(rng.choice(WEIRD))
    if isinstance(value, dict):
        return {k: spoiled(v, rng, share) for k, v in value.items() if rng.random() > share / 2}
    return [spoiled(v, rng, share) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", sorted(ASKED))
def test_spoiled_questions_are_answered_or_refused(name: str) -> None:
    below = {"system": CS, "filter": [{"property": "concept", "op": "is-a", "value": "d"}]}
    vs = value_set(below, {"valueSet": [VS + "2"]}, exclude=[{"system": CS, "concept": [{"code": "k"}]}])
    other = value_set({"system": CS}, url=VS + "2")
    rng = random.Random(name)
    answered = 0
    for _ in range(400):
        resources = [spoiled(r, rng, 0.01) for r in (code_system(), vs, other, MAP)]
        given = [spoiled(p, rng, 0.01) for p in ASKED[name]]
        given += [{"name": "tx-resource", "resource": r} for r in resources]
        try:
            found = getattr(operations, name)(Asker(empty(), AT), given)
        except TxError as error:
            assert error.status < 500 and error.issues
        else:
            answered += 1
            assert found["resourceType"] in ("Parameters", "ValueSet")
    assert answered > 20  # the rest of the question still counts


def test_value_sets_that_double_at_every_step() -> None:
    chain = [value_set(*[{"valueSet": [f"{VS}/{i + 1}"]}] * 2, url=f"{VS}/{i}") for i in range(28)]
    chain.append(value_set({"system": CS}, url=f"{VS}/28"))
    with pytest.raises(TxError) as refused:
        ask("expand", code_system(), *chain, url=f"{VS}/0")
    assert refused.value.issues[0].code == "too-costly"
    deep = [value_set({"valueSet": [f"{VS}/{i + 1}"]}, url=f"{VS}/{i}") for i in range(60)]
    with pytest.raises(TxError, match="too deeply"):
        ask("expand", code_system(), *deep, url=f"{VS}/0")


def test_too_many_of_everything() -> None:
    filters = [{"property": "code", "op": "=", "value": "h"}] * 1_000
    with pytest.raises(TxError, match="filters"):
        ask("expand", code_system(), value_set({"system": CS, "filter": filters}), url=VS)
    with pytest.raises(TxError, match="tx-resources"):
        ask("expand", *[code_system()] * 300, url=VS)
    with pytest.raises(TxError, match="too long"):
        ask("expand", code_system(), value_set({"system": CS, "filter": [
            {"property": "code", "op": "regex", "value": "a" * 1_000}]}), url=VS)  # fmt: skip
    assert codes(ask("expand", code_system(), value_set({"system": CS}), url=VS, count=999_999_999))


def test_a_code_system_nested_without_end() -> None:
    inner: dict[str, Any] = {"code": "end"}
    for i in range(400):
        inner = {"code": f"c{i}", "concept": [inner]}
    with pytest.raises(TxError, match="deeply"):
        ask("lookup", code_system(concept=[inner]), system=CS, code="c399")


def test_what_is_taken_out_is_told() -> None:
    told: list[str] = []
    system = code_system(
        concept=[{"code": "a", "display": 5, "designation": "x", "property": [3, {"code": "p"}]}]
    )
    found = mended(system, told.append)
    assert found["concept"] == [{"code": "a", "property": [{"code": "p"}]}] and len(told) == 3
    assert all("CodeSystem.concept" in t for t in told)
    assert mended({"resourceType": "Patient", "name": 5}, told.append) == {
        "resourceType": "Patient",
        "name": 5,
    }


def test_an_empty_library_says_so() -> None:
    for name, given in ASKED.items():
        with pytest.raises(TxError) as refused:
            if name in ("translate", "validate_in_system"):
                raise refused_as_answer(getattr(operations, name)(Asker(Terminology(), AT), given))
            getattr(operations, name)(Asker(Terminology(), AT), given)
        assert refused.value.status < 500


def refused_as_answer(answer: dict[str, Any]) -> TxError:
    """These two say no in their answer."""
    assert {"name": "result", "valueBoolean": False} in answer["parameter"]
    from terminology.fhir.problem import not_found

    return not_found("said in the answer")

"""Whatever texts a record brings, the Bundle stays valid and nothing in it is markup or a lie (security.md 5.3
rows 45, 46); whatever the plan, a second look at it changes nothing."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

sys.path.insert(0, str(Path(__file__).parents[2]))
from write_samples import BASE, STATIN, MemoryServer, plan

from fhir_twin.fhir.narrative import narrative_faults, plain_text
from fhir_twin.fhir.reconcile import reconcile
from fhir_twin.fhir.validate import validate_bundle
from fhir_twin.fhir.write import write_plan
from fhir_twin.fhir.write_context import WriteOptions
from fhir_twin.fhir.write_elements import clean
from fhir_twin.fhir.xml import to_xml
from fhir_twin.model.plan import Plan
from fhir_twin.model.scenario import EventRisk
from fhir_twin.transport.plan_writer import PlanWriter

Json = dict[str, Any]
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</div><form action='http://evil.example'>",
    "&lt;b&gt; &amp;amp; &nbsp; &#x0;",
    "=cmd|' /C calc'!A0",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "\x00\x01\x08\x0b\x1f\x7f\x85",
    "\ud800 lone",
    "\ufffe\uffff\ufeff",
    "\u2028line\u2029separators\r\nand\ttabs",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "<![CDATA[x]]> <!-- c --> <?php ?>",
    "x" * 10_000,
    " ",
    "\U0001f9ec e\u0301 \u05e9\u05dc\u05d5\u05dd \u4f60\u597d",
    "{{7*7}} ${x} %s %n",
    "urn:uuid:00000000-0000-0000-0000-000000000000",
)
# Keys and references are ours or were read strictly; every other text may be anything.
_FIXED = """
    key kind subject sources basis addresses goals existing replaces severity code loinc blocks system
    comparator unit_code priority strength certainty outcome equation unit knowledge_version model_version refused
    intervention dose measure state type biomarker doi pmid url
"""
FIXED = frozenset(_FIXED.split())
texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=60),
    st.text(alphabet="<>&'\"\x00\x0b\ud800\u202e \n", max_size=12),
)


def infect(value: Any, name: str, words: list[str]) -> Any:
    """The same plan with other people's texts in it, taken from `words` in turn."""
    if isinstance(value, str) and name not in FIXED and value:
        words.append(words.pop(0))
        return words[-1]
    if isinstance(value, tuple) and name not in FIXED:
        return tuple(infect(v, name, words) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: infect(getattr(value, f.name), f.name, words) for f in fields(value)}
        return replace(value, **changed)
    return value


def infected(words: list[str]) -> Plan:
    made: Plan = infect(plan(), "plan", list(words))
    return made


@pytest.mark.parametrize("word", NASTY)
def test_each_nasty_text_everywhere(word: str) -> None:
    bundle = write_plan(infected([word]), base=BASE)
    assert validate_bundle(bundle) == ()
    for entry in bundle["entry"]:
        div = entry["resource"]["text"]["div"]
        assert narrative_faults(div) == []
        tags = {etree.QName(e).localname for e in etree.fromstring(div).iter("*")}
        assert tags <= {
            "div",
            "p",
            "b",
            "h3",
            "h4",
            "ul",
            "ol",
            "li",
            "span",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        }
        to_xml(entry["resource"])
    json.dumps(bundle).encode("utf-8")


@given(st.lists(texts, min_size=1, max_size=6))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_gives_a_valid_bundle_that_is_written_once(words: list[str]) -> None:
    bundle = write_plan(infected(words), base=BASE)
    assert validate_bundle(bundle) == ()
    server = MemoryServer()
    writer = PlanWriter(server, sleep=lambda _: None)
    writer.write("pat-1", bundle)
    count = server.writes
    assert not writer.write("pat-1", bundle).changed
    assert server.writes == count


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_clean_is_idempotent_and_shows_only_what_is_there(value: str) -> None:
    once = clean(value)
    assert clean(once) == once
    assert set(once) - {"…"} <= set(value)


@given(st.text(max_size=100), st.text(max_size=100))
@settings(max_examples=50, deadline=None)
def test_narrative_says_the_text(patient: str, reason: str) -> None:
    """Oracle: what an XML parser reads back is what went in, blanks aside."""
    care_plan = write_plan(plan(patient_label=patient, limits=(reason,)), base=BASE)["entry"][-2]["resource"]
    words = plain_text(care_plan["text"]["div"])
    assert words is not None
    for value in (patient, reason):
        assert " ".join(clean(value).split()) in words


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.1, 60),
    st.decimals(min_value=Decimal("0.0001"), max_value=Decimal("100000"), allow_nan=False, places=4),
    st.one_of(st.none(), st.floats(0.001, 24)),
)
@settings(max_examples=25, deadline=None)
def test_any_numbers_give_a_valid_bundle(
    middle: float, low: float, high: float, years: float, dose: Decimal, per_day: float | None
) -> None:
    risk = EventRisk("cvd", years, middle, low, high, "PREVENT base 10y")
    rec = replace(STATIN, dose_amount=dose, dose_per_day=per_day)
    bundle = write_plan(plan(risks=(risk,), recommendations=(rec,)), base=BASE)
    assert validate_bundle(bundle) == ()


@given(st.permutations(range(len(plan().recommendations))))
@settings(max_examples=10, deadline=None)
def test_order_of_the_input_changes_nothing(order: list[int]) -> None:
    shuffled = plan(recommendations=tuple(plan().recommendations[i] for i in order))
    assert write_plan(shuffled, base=BASE)["entry"][-2] == write_plan(plan(), base=BASE)["entry"][-2]


@given(st.sets(st.integers(0, 6)), st.sets(st.integers(0, 6)))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_two_plans_in_a_row(first: set[int], second: set[int]) -> None:
    """Model: after a run the drafts on the server are exactly what was proposed last; nothing is ever deleted."""
    recs = plan().recommendations
    server = MemoryServer()
    writer = PlanWriter(server, sleep=lambda _: None)
    for chosen in (first, second):
        proposed = tuple(recs[i] for i in sorted(chosen))
        writer.write("pat-1", write_plan(plan(recommendations=proposed), base=BASE))
    drafts = {
        r["medicationCodeableConcept"]["text"]
        for r in server.all("MedicationRequest")
        if r["status"] == "draft"
    }
    assert drafts == {recs[i].code.text for i in second if recs[i].kind in ("medication", "stop")}
    written = {recs[i].code.text for i in first | second if recs[i].kind in ("medication", "stop")}
    assert {r["medicationCodeableConcept"]["text"] for r in server.all("MedicationRequest")} == written


def test_reconcile_is_pure() -> None:
    server = MemoryServer()
    bundle = write_plan(plan(), base=BASE)
    PlanWriter(server).write("pat-1", bundle)
    held = list(server.store.values())
    before = copy.deepcopy((bundle, held))
    one = reconcile(bundle, held, base=BASE).bundle()
    assert (bundle, held) == before
    assert one == reconcile(bundle, list(reversed(held)), base=BASE).bundle()


def test_a_release_that_changes_no_advice_rewrites_nothing() -> None:
    """Another knowledge or model version alone is no reason to touch a clinician's list."""
    server = MemoryServer()
    writer = PlanWriter(server, sleep=lambda _: None)

    def release(version: str) -> list[str]:
        options = WriteOptions(instantiates=f"https://fhir-twin.org/fhir/PlanDefinition/prevention|{version}")
        made = plan(knowledge_version=version, model_version=f"m-{version}")
        report = writer.write("pat-1", write_plan(made, base=BASE, options=options))
        return [i.action for i in report.items if i.type not in ("Device", "Provenance")]

    assert set(release("k-1")) == {"create"}
    assert set(release("k-2")) == {"unchanged"}
    assert "k-1" in server.all("CarePlan")[0]["text"]["div"]

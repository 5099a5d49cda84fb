"""The worklist: order, filters, paging, and forms for other programs."""

from __future__ import annotations

import csv
import io
import itertools
from datetime import UTC, datetime

import pytest
from fhir.resources.R4B import get_fhir_model_class
from population_cohort import Ran

from fhir_twin.errors import InvalidInput
from fhir_twin.population.worklist import ORDERS, Entry, Filter, worklist
from fhir_twin.population.worklist_out import safe, to_csv, to_group, to_lines, to_list


def test_ranked_by_worth_and_pages_join_without_gap_or_overlap(ran: Ran) -> None:
    whole = worklist(ran.results, Filter(), limit=1000)
    assert whole.total == len(whole.entries) == ran.summary.states["ok"]
    worths = [e.worth for e in whole.entries if e.worth is not None]
    assert worths and worths == sorted(worths, reverse=True)
    assert all(e.worth is None for e in whole.entries[len(worths) :])
    pages = [worklist(ran.results, Filter(), offset=o, limit=7).entries for o in range(0, whole.total, 7)]
    assert [e.patient for e in itertools.chain(*pages)] == [e.patient for e in whole.entries]
    assert [e.place for e in itertools.chain(*pages)] == list(range(1, whole.total + 1))


def test_worth_is_the_best_of_the_patient_not_the_risk(ran: Ran) -> None:
    for e in worklist(ran.results, Filter(), limit=1000).entries:
        best = ran.results.rows("select max(worth) from proposals where patient = ?", [e.patient])[0][0]
        assert e.worth == best
    assert [e.patient for e in worklist(ran.results, Filter(order="risk"), limit=99).entries] != [
        e.patient for e in worklist(ran.results, Filter(), limit=99).entries
    ]


def test_filters_hold_for_every_entry_and_take_hostile_words(ran: Ran) -> None:
    entries = worklist(ran.results, Filter(), limit=1000).entries
    for chosen, holds in (
        (Filter(sex="female"), lambda e: e.sex == "female"),
        (Filter(age_from=50, age_to=70), lambda e: e.age is not None and 50 <= e.age <= 70),
        (Filter(condition="hypertension"), lambda e: "hypertension" in e.conditions),
        (Filter(due="alcohol"), lambda e: any("alcohol" in d.lower() for d in e.due)),
        (Filter(least_worth=0.01), lambda e: e.worth is not None and e.worth >= 0.01),
        (Filter(action="weight"), lambda e: "weight" in (e.action + e.key).lower()),
    ):
        found = worklist(ran.results, chosen, limit=1000).entries
        assert [e.patient for e in found] == [e.patient for e in entries if holds(e)]
    for words in ("' or 1=1 --", "%", "x'; drop view patients; --", "\0"):
        assert worklist(ran.results, Filter(search=words, action=words)).total == 0
    assert worklist(ran.results, Filter()).total == len(entries)


@pytest.mark.parametrize("order", sorted(ORDERS))
def test_every_order_is_total(ran: Ran, order: str) -> None:
    found = worklist(ran.results, Filter(order=order), limit=1000).entries
    assert len({e.patient for e in found}) == len(found) == ran.summary.states["ok"]


def test_what_is_unknown_is_refused(ran: Ran) -> None:
    for wrong in (Filter(order="name"), Filter(sex="f")):
        with pytest.raises(InvalidInput):
            worklist(ran.results, wrong)
    with pytest.raises(InvalidInput):
        worklist(ran.results, Filter(), offset=-1)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =cmd|' /C calc'!A0", "\n=2"]
)
def test_csv_cells_never_start_a_formula(text: str) -> None:
    assert safe(text).startswith("'")
    entry = Entry(
        1,
        text,
        50.0,
        "male",
        text,
        text,
        "cvd",
        10.0,
        0.1,
        0.0,
        0.2,
        0.1,
        0.0,
        0.2,
        0.2,
        text,
        "",
        (text,),
        (),
        (),
        (text,),
    )
    row = list(csv.reader(io.StringIO(to_csv([entry]))))[1]
    assert not any(cell.lstrip(" ").startswith(("=", "+", "@", "\t", "\r", "\n")) for cell in row)
    assert not any(
        cell.lstrip(" ").startswith("-") and not cell.lstrip("-").replace(".", "").isdigit() for cell in row
    )


def test_plain_words_stay_as_they_are() -> None:
    assert safe("Weight loss of about 5 kg") == "Weight loss of about 5 kg"


def test_group_and_list_are_valid_r4(ran: Ran) -> None:
    entries = worklist(ran.results, Filter(), limit=10).entries
    when = datetime(2026, 10, 1, tzinfo=UTC)
    for some in (entries, ()):
        group, listed = to_group(some, key="k", title="T"), to_list(some, key="k", title="T", when=when)
        assert get_fhir_model_class("Group").model_validate(group).quantity == len(some)
        assert get_fhir_model_class("List").model_validate(listed).status == "current"
    assert [e["item"]["reference"] for e in to_list(entries, key="k", title="T", when=when)["entry"]] == [
        f"Patient/{e.patient}" for e in entries
    ]
    assert to_lines(entries).count("\n") >= len(entries) - 1

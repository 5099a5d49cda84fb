"""Life cycle: what a clinician did with our proposals changes later plans (pipeline and reconcile together)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from fhir_twin.fhir.identity import identity_of, item_of
from fhir_twin.fhir.reconcile import reconcile
from fhir_twin.fhir.withdraw import withdrawn
from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.model.plan import Recommendation
from fhir_twin.pipeline import Run, run
from fhir_twin.sandbox.stories import load_bundles

Json = dict[str, Any]
AS_OF = datetime(2026, 10, 2, tzinfo=UTC)
BASE = "https://ehr.example/fhir"
ITEM = "statin"


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


@cache
def story() -> tuple[Json, Run]:
    """The first record for which a statin is proposed."""
    for record in load_bundles():
        made = run(record, knowledge(), AS_OF, base=BASE)
        if any(r.key == ITEM for r in made.plan.recommendations):
            return record, made
    raise AssertionError("no story proposes a statin")


def stored(made: Run) -> list[Json]:
    """What a server holds after the first write: ids, versions, and references as it rewrites them."""
    steps = reconcile(made.output, [], base=BASE)
    held = [copy.deepcopy(e["resource"]) for e in steps.bundle()["entry"][:-1]]
    for number, resource in enumerate(held):
        resource["id"] = f"own-{number}"
        resource["meta"] = {
            **resource["meta"],
            "versionId": "1",
            "lastUpdated": "2026-10-02T00:00:05Z",
        }
    return held


def of_item(held: list[Json], item: str) -> Json:
    return next(r for r in held if item_of(r) == item)


def rerun(held: list[Json], when: datetime, change: Callable[[Json], None] | None = None) -> Run:
    record, _ = story()
    entries = [{"fullUrl": f"{BASE}/{r['resourceType']}/{r['id']}", "resource": r} for r in held]
    bundle = copy.deepcopy({**record, "entry": [*record["entry"], *entries]})
    if change is not None:
        change(bundle)
    return run(bundle, knowledge(), when, base=BASE)


def of(made: Run, key: str = ITEM) -> Recommendation | None:
    return next((r for r in made.plan.recommendations if r.key == key), None)


def decline(held: list[Json], status: str = "cancelled", reason: str = "Patient prefers not to") -> Json:
    order = of_item(held, ITEM)
    order["status"] = status
    order["meta"]["lastUpdated"] = "2026-10-05T09:00:00Z"
    if reason:
        order["statusReason"] = {"text": reason}
    return order


LATER = AS_OF + timedelta(days=10)


@pytest.mark.parametrize("status", ["cancelled", "stopped", "rejected", "entered-in-error"])
def test_a_declined_proposal_is_not_made_again(status: str) -> None:
    held = stored(story()[1])
    decline(held, status)
    again = rerun(held, LATER)
    assert of(again) is None
    told = [x.reason for x in again.plan.rejected if x.kind == "declined"]
    assert told
    assert all("Declined earlier on 2026-10-05 (Patient prefers not to)." in x for x in told)
    assert "2027-04-03" in told[0]  # 180 days


def test_declined_without_a_reason_is_declined_too() -> None:
    held = stored(story()[1])
    decline(held, reason="")
    again = rerun(held, LATER)
    assert of(again) is None
    assert any("no reason given" in x.reason for x in again.plan.rejected if x.kind == "declined")


def test_our_own_withdrawal_is_no_decline() -> None:
    held = stored(story()[1])
    order = of_item(held, ITEM)
    held[held.index(order)] = withdrawn(order)
    again = rerun(held, LATER)
    assert of(again) is not None
    assert [p.fate for p in again.chart.proposals if p.item == ITEM] == ["withdrawn"]


def test_after_its_time_it_is_proposed_anew_as_another_resource() -> None:
    held = stored(story()[1])
    old = identity_of(decline(held))
    again = rerun(held, AS_OF + timedelta(days=200))
    found = of(again)
    assert found is not None
    assert found.round == 2
    assert any("declined earlier on 2026-10-05" in r.text for r in found.why)
    fresh = identity_of(of_item([e["resource"] for e in again.output["entry"]], ITEM))
    assert fresh is not None
    assert old is not None
    assert fresh.key != old.key


def test_a_value_that_got_clearly_worse_reopens_the_question() -> None:
    held = stored(story()[1])
    decline(held)

    def worse(bundle: Json) -> None:
        for number, entry in enumerate(list(bundle["entry"])):
            resource = entry["resource"]
            codes = {c.get("code") for c in resource.get("code", {}).get("coding", [])}
            if resource["resourceType"] == "Observation" and codes & {"18262-6", "13457-7", "2089-1"}:
                newer = copy.deepcopy(resource)
                newer["id"] = f"newer-{number}"
                newer["effectiveDateTime"] = "2026-10-10T08:00:00Z"
                newer.pop("effectivePeriod", None)
                newer["valueQuantity"] = {**newer["valueQuantity"], "value": 260}
                bundle["entry"].append({"resource": newer})
                return
        raise AssertionError("the story has no LDL")

    found = of(rerun(held, LATER, worse))
    assert found is not None
    assert any("LDL" in r.text and "Proposed again" in r.text for r in found.why)


def test_a_run_after_the_decline_settles() -> None:
    """ID-7: the decline changes the plan once; the run after that writes nothing, and never touches the order."""
    held = stored(story()[1])
    order = decline(held)
    again = rerun(held, LATER)
    steps = reconcile(again.output, held, base=BASE)
    assert all(s.held is None or s.held.id != order["id"] for s in steps.sending)
    by_id = {r["id"]: r for r in held}
    for number, step in enumerate(steps.sending):
        assert step.resource is not None
        resource = copy.deepcopy(step.resource)
        resource.setdefault("id", f"new-{number}")
        resource["meta"] = {**resource["meta"], "lastUpdated": "2026-10-11T00:00:05Z"}
        by_id[resource["id"]] = resource
    after = list(by_id.values())
    third = rerun(after, LATER)
    assert third.plan.recommendations == again.plan.recommendations
    assert not reconcile(third.output, after, base=BASE).sending


def test_a_decline_after_as_of_is_not_known_yet() -> None:
    held = stored(story()[1])
    decline(held)
    assert of(rerun(held, AS_OF + timedelta(days=1))) is not None


def test_another_patients_answers_do_not_count() -> None:
    held = stored(story()[1])
    decline(held)["subject"] = {"reference": "Patient/somebody-else"}
    again = rerun(held, LATER)
    assert all(p.item != ITEM for p in again.chart.proposals)
    assert of(again) is not None


def test_an_accepted_test_is_not_ordered_twice() -> None:
    _, made = story()
    ordered = [r for r in made.plan.recommendations if r.kind in ("test", "screening") and r.round == 1]
    held = stored(made)
    mine = next(r for r in ordered if of_item(held, r.key)["resourceType"] == "ServiceRequest")
    order = of_item(held, mine.key)
    order["status"], order["intent"] = "active", "order"
    order["meta"]["lastUpdated"] = "2026-10-05T09:00:00Z"
    again = rerun(held, LATER)
    assert of(again, mine.key) is None
    told = [x for x in again.plan.rejected if x.kind == "already-ordered"]
    assert [x.scenario.key for x in told] == [mine.key]
    assert of(rerun(held, AS_OF + timedelta(days=200)), mine.key) is not None


def test_a_draft_that_nobody_answered_is_named_after_a_year() -> None:
    held = stored(story()[1])
    assert not any("neither accepted" in x for x in rerun(held, LATER).plan.limits)
    late = rerun(held, AS_OF + timedelta(days=370))
    assert any("neither accepted nor declined" in x for x in late.plan.limits)


def test_a_declined_stop_stays_named() -> None:
    """Safety is never answered away: the danger is still in the plan, on the resource that was declined."""
    for record in load_bundles():
        made = run(record, knowledge(), AS_OF, base=BASE)
        stops = [r for r in made.plan.recommendations if r.stop]
        if not stops:
            continue
        held = stored(made)
        order = of_item(held, stops[0].key)
        order["status"] = "cancelled"
        order["meta"]["lastUpdated"] = "2026-10-05T09:00:00Z"
        entries = [{"resource": r} for r in held]
        again = run({**record, "entry": [*record["entry"], *entries]}, knowledge(), LATER, base=BASE)
        found = next(r for r in again.plan.recommendations if r.key == stops[0].key)
        assert found.round == 1
        assert any("danger remains" in r.text for r in found.why)
        return
    pytest.skip("no story with a drug to stop")

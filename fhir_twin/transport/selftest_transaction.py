"""Self-test E9: is a plan written whole or not at all?"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from fhir_twin.transport.answers import try_resource
from fhir_twin.transport.capability import ServerCapability
from fhir_twin.transport.selftest import Check, State
from fhir_twin.transport.selftest_bench import SYSTEM, Bench, test_goal, test_plan


def transaction(bench: Bench, capability: ServerCapability) -> Iterator[Check]:
    """E9: whole, linked, and nothing when a part is bad."""
    goal, plan = bench.tagged(test_goal(bench), "t-goal"), test_plan(bench, "t-plan")
    urn = f"urn:uuid:{uuid.uuid4()}"
    plan["goal"] = [{"reference": urn}]
    entries = [
        {
            "fullUrl": urn,
            "resource": goal,
            "request": {
                "method": "POST",
                "url": "Goal",
                "ifNoneExist": f"identifier={SYSTEM}|{bench.mark}-t-goal",
            },
        },
        {
            "fullUrl": f"urn:uuid:{uuid.uuid4()}",
            "resource": plan,
            "request": {"method": "POST", "url": "CarePlan"},
        },
    ]
    reply = bench.send("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    answer = try_resource(reply) or {}
    places = [_entry_place(e) for e in answer.get("entry") or ()]
    bench.made += [p for p in places if p]
    if reply.status != 200 or len(places) != 2:
        state: State = "fail" if capability.supports_system("transaction") else "not offered"
        yield Check(
            "transaction",
            state,
            f"answered {reply.status}",
            "plans are written one by one, and undone on failure",
            id="E9",
        )
        return
    yield Check("transaction", "pass", "a plan is written whole", id="E9")
    found = try_resource(bench.send("GET", places[1])) if places[1] else None
    linked = [g.get("reference", "") for g in (found or {}).get("goal") or ()]
    ok = bool(places[0]) and any(str(r).endswith(places[0]) for r in linked)
    yield Check(
        "links inside a transaction",
        "pass" if ok else "fail",
        "temporary ids become real ones" if ok else "temporary ids stay",
        "" if ok else "plans would be torn",
        id="E9b",
    )
    bad = [
        entries[0],
        {"resource": {"resourceType": "CarePlan"}, "request": {"method": "PUT", "url": "CarePlan/"}},
    ]
    wrong = bench.send("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": bad})
    yield Check(
        "failed transactions",
        "pass" if wrong.status >= 400 else "fail",
        f"a bad entry answers {wrong.status}",
        "" if wrong.status >= 400 else "half a plan may be written",
        id="E9c",
    )


def _entry_place(entry: Any) -> str:
    location = str((entry.get("response") or {}).get("location") or "") if isinstance(entry, dict) else ""
    parts = [p for p in location.split("/_history/")[0].split("/") if p]
    return "/".join(parts[-2:]) if len(parts) >= 2 else ""

"""The connection self-test: what it says about good, narrow and impossible servers; it never writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as Tree

import pytest
from net_quirky import Quirky, outcome, patient, row

from fhir_twin.errors import UpstreamError
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.transport import selftest_write
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import HttpClient
from fhir_twin.transport.retry import RetryPolicy
from fhir_twin.transport.selftest import Ask, Check, check_server
from fhir_twin.transport.selftest_features import features
from fhir_twin.transport.selftest_report import junit, page
from fhir_twin.transport.wanted import WANTED


@pytest.fixture
def quirky(stub: Any, tools: Any) -> Quirky:
    return Quirky(stub, tools, patient("a"), patient("b"), row("Goal", "g"))


def ask(quirky: Quirky, clock: Any) -> dict[str, Check]:
    found = list(check_server(FhirServer(quirky.tools.make_client(quirky.stub, clock))))
    assert len({c.name for c in found}) == len(found)
    assert not any(r.method in ("PUT", "DELETE") for r in quirky.stub.requests)
    return {c.name: c for c in found}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with contextlib.closing(serve_sandbox()) as running:
        yield running.base


def test_the_sandbox_passes_everything(sandbox: str) -> None:
    with HttpClient(sandbox) as client:
        found = list(check_server(FhirServer(client)))
    expected = {
        "history": "not offered",
        "XML": "not offered",
        "compression": "warn",
        "versions": "warn",
        "subscriptions": "not offered",
    }
    assert {c.name: c.state for c in found if c.state != "pass"} == expected | {
        "subscription topics": "not offered"
    }
    assert len(found) == 2 + 6 + 12 + 2 + len(WANTED) + 2
    assert all(c.id for c in found)


def test_nobody_there(clock: Any) -> None:
    client = HttpClient("http://127.0.0.1:9/fhir", sleep=clock.sleep, retry=RetryPolicy(attempts=0))
    found = list(check_server(FhirServer(client)))
    assert [(c.name, c.state) for c in found] == [("connection", "fail")] and "base URL" in found[0].advice


def test_login_and_version(quirky: Quirky, clock: Any) -> None:
    quirky.version = "5.0.0"
    assert list(ask(quirky, clock)) == ["FHIR version"]
    quirky.rules["metadata"] = lambda _: (401, outcome("login"))
    assert "token" in ask(quirky, clock)["connection"].advice


def test_a_narrow_server(quirky: Quirky, clock: Any) -> None:
    quirky.batch = False
    quirky.types.remove("Consent")
    quirky.rules["Observation"] = lambda _: (400, outcome("required"))
    quirky.rules["Goal"] = lambda _: (403, outcome("forbidden"))
    quirky.rules["Condition"] = lambda _: (501, outcome("not-supported"))
    found = ask(quirky, clock)
    states = {name: check.state for name, check in found.items()}
    warned = ("batch", "unknown parameters", "read Observation", "read Goal", "read Consent")
    warned += ("write CarePlan", "write the rest", "transaction offered")
    assert {n: states[n] for n in warned} == dict.fromkeys(warned, "warn")
    assert [n for n, s in states.items() if s == "fail"] == ["versions", "read Condition"]
    verdicts = {f.name: f for f in features(tuple(found.values()))}
    assert verdicts["Read records, twin and plan (run --dry-run)"].works == "no"
    assert verdicts["Find patients by identifier"].works == "yes"
    assert "DocumentReference" in found["write CarePlan"].advice


@pytest.mark.parametrize(
    ("link", "state"),
    [
        ("https://evil.example/p2", "fail"),
        ("https://inner.example/fhir/p2", "warn"),
        ("{base}/p2", "pass"),
        ("", "fail"),
    ],
)
def test_paging(quirky: Quirky, clock: Any, link: str, state: str) -> None:
    page = quirky.tools.page(patient(), total=2, next_=link.format(base=quirky.stub.base))
    quirky.rules["Patient"] = lambda _: (200, page)
    assert ask(quirky, clock)["paging"].state == state


def test_html_instead_of_outcomes(quirky: Quirky, clock: Any) -> None:
    quirky.rules["Patient/fhir-twin-no-such-id"] = lambda _: (404, "<html>")
    assert ask(quirky, clock)["errors"].state == "warn"
    quirky.rules["Patient/fhir-twin-no-such-id"] = lambda _: (403, outcome("forbidden"))
    assert ask(quirky, clock)["errors"].state == "fail"


def test_no_counts(quirky: Quirky, clock: Any) -> None:
    plain = quirky.search
    quirky.totals = False
    quirky.search = lambda t, q: plain(t, {k: v for k, v in q.items() if k != "_summary"})  # type: ignore[method-assign]
    assert "never complete" in ask(quirky, clock)["counts"].advice


def _all(base: str, **more: Any) -> list[Check]:
    with HttpClient(base, retry=RetryPolicy(attempts=0)) as client:
        return list(
            check_server(FhirServer(client), Ask(smart=True, bulk=True, hooks=base, write=True, **more))
        )


def _count(base: str) -> int:
    with HttpClient(base) as client:
        server = FhirServer(client)
        types = ("Patient", "CarePlan", "Goal", "ServiceRequest", "RiskAssessment", "Provenance")
        return sum(int(server.search_page(t, {"_summary": "count"}, no_cache=True)["total"]) for t in types)


def test_writing_leaves_nothing_behind(sandbox: str) -> None:
    """E1 to E13; clean-up."""
    before = _count(sandbox)
    found = _all(sandbox)
    assert [c for c in found if c.state == "fail"] == []
    states = {c.name: c.state for c in found}
    tried = (
        "create CarePlan",
        "update",
        "lost updates",
        "conditional create",
        "transaction",
        "failed transactions",
        "delete",
    )
    assert {states[n] for n in tried} == {"pass"}
    assert states["clean-up"] == "pass"
    assert _count(sandbox) == before
    assert 55 <= len(found) <= 80
    verdicts = {f.name: f.works for f in features(found)}
    assert verdicts["Write plans back (run)"] == "yes"
    assert verdicts["SMART launch from the EHR"] == "no"


def test_reports(sandbox: str) -> None:
    found = _all(sandbox)
    suite = Tree.fromstring(junit(found, sandbox))
    assert (int(suite.get("tests", "0")), suite.get("failures")) == (len(found), "0")
    assert len(suite.findall("testcase/skipped")) == sum(c.state == "not offered" for c in found)
    text = page(
        [*found, Check("<b>x</b>", "fail", "<script>", "&")], features(found), sandbox, "today"
    ).decode()
    assert "<script" not in text
    assert "What to do first" in text
    assert all(f"<td>{c.id}</td>" in text for c in found)


def test_a_server_that_answers_nonsense_never_ends_the_checks(quirky: Quirky, clock: Any) -> None:
    """Every part says what it saw, whatever comes back."""
    for answer in (
        (200, "[]"),
        (200, "null"),
        (500, "<html>"),
        (200, {"resourceType": "Bundle", "entry": [None, 7]}),
    ):
        for path in (
            "Patient",
            "Observation",
            "Patient/$export",
            ".well-known/smart-configuration",
            "cds-services",
        ):
            quirky.rules[path] = lambda _, a=answer: a
        client = quirky.tools.make_client(quirky.stub, clock)
        found = list(check_server(FhirServer(client), Ask(smart=True, bulk=True, hooks=quirky.stub.base)))
        assert len(found) > 30
        assert features(found)


def test_a_half_broken_server_is_cleaned_up(sandbox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks in the middle of writing: what was made is deleted all the same."""
    before = _count(sandbox)

    def broken(*_: Any) -> Check:
        raise UpstreamError("the server does not answer")

    monkeypatch.setattr(selftest_write, "_once", broken)
    found = {c.name: c for c in _all(sandbox)}
    assert (found["writing"].state, found["clean-up"].state) == ("fail", "pass")
    assert _count(sandbox) == before

"""The connection self-test: what it says about good, narrow and impossible servers; it never writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from net_quirky import Quirky, outcome, patient, row

from fhir_twin.sandbox import serve_sandbox
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import HttpClient
from fhir_twin.transport.retry import RetryPolicy
from fhir_twin.transport.selftest import Check, check_server
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
    assert [c for c in found if c.state != "pass"] == []
    assert len(found) == 2 + 6 + len(WANTED) + 2


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
    states = {name: check.state for name, check in found.items() if check.state != "pass"}
    warned = ("batch", "unknown parameters", "read Observation", "read Goal", "read Consent")
    warned += ("write CarePlan", "write the rest", "transaction")
    assert states == {**dict.fromkeys(warned, "warn"), "read Condition": "fail"}
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

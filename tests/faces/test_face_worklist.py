"""The worklist page: filters, paging, search without an id in an address, CSV, and the way to the durable queue."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from flask.testing import FlaskClient

pytest.importorskip("duckdb", reason="needs the extra: pip install 'fhir-twin[population]'")

from fhir_twin.cli import main
from fhir_twin.knowledge import Knowledge
from fhir_twin.population.executors import InProcess
from fhir_twin.population.person import Task
from fhir_twin.population.run import run_population
from fhir_twin.population.synth import write_cohort
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_service

PEOPLE, BASE = 40, "http://127.0.0.1"


@pytest.fixture(scope="module")
def results(all_knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worklist")
    write_cohort(folder / "in", all_knowledge, patients=PEOPLE, seed=5, end=date(2026, 10, 1), years=3.0)
    run_population(folder / "in", folder / "out", Task("2026-10-01", residuals=False), InProcess(), buckets=1)
    return folder / "out"


@pytest.fixture(scope="module")
def client(stocked_sandbox: str, all_knowledge: Knowledge, results: Path) -> Iterator[FlaskClient]:
    settings = load_settings({"server": stocked_sandbox, "population": str(results)}, {})
    yield create_app(open_service(settings, all_knowledge), settings).test_client()


def _ids(html: str) -> list[str]:
    return re.findall(r'name="patient" value="([^"]+)"', html)


def test_pages_join_without_gap_and_filters_hold(client: FlaskClient) -> None:
    first = client.get("/worklist", base_url=BASE)
    assert first.status_code == 200 and first.mimetype == "text/html"
    second = client.get("/worklist?offset=25", base_url=BASE)
    one, two = _ids(first.text), _ids(second.text)
    assert len(one) == 25 and two and not set(one) & set(two)
    assert 'rel="next"' in first.text and 'rel="prev"' in second.text
    women = client.get("/worklist?sex=female", base_url=BASE).text
    assert set(_ids(women)) < set(one + two)
    assert "script-src" in first.headers["Content-Security-Policy"]
    assert first.headers["Cache-Control"] == "no-store"


def test_a_patient_is_searched_for_by_post_and_no_link_holds_an_id(client: FlaskClient) -> None:
    html = client.get("/worklist", base_url=BASE).text
    wanted = _ids(html)[3]
    found = client.post("/worklist", data={"q": wanted}, base_url=BASE).text
    assert _ids(found) == [wanted]
    assert not [href for href in re.findall(r'href="([^"]+)"', html) if "syn-" in href]
    nobody = client.post("/worklist", data={"q": "<script>alert(1)</script>"}, base_url=BASE).text
    assert "Nobody" in nobody and "<script>alert" not in nobody


def test_csv_has_the_whole_list(client: FlaskClient) -> None:
    answer = client.get("/worklist.csv?order=risk", base_url=BASE)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert 25 < len(rows) <= PEOPLE and answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("query", ["order=name", "offset=-1", "offset=9999999999", "age_from=old", "sex=x"])
def test_what_does_not_fit_is_refused_without_a_stack_trace(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/worklist?{query}", base_url=BASE)
    assert answer.status_code == 400 and "Traceback" not in answer.text


def test_without_a_run_it_says_how_to_make_one(stocked_sandbox: str, all_knowledge: Knowledge) -> None:
    settings = load_settings({"server": stocked_sandbox}, {})
    app = create_app(open_service(settings, all_knowledge), settings)
    html = app.test_client().get("/worklist", base_url=BASE).text
    assert "population run" in html


def test_chosen_plans_go_into_the_queue_once(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store.db"
    call = ["population", "write", str(results), "--limit", "3", "--store", str(store)]
    assert main([*call, "--dry-run"]) == 0
    assert "nothing was accepted" in capsys.readouterr().out and not store.exists()
    assert main(call) == 0
    assert "3 accepted" in capsys.readouterr().out
    assert main(call) == 0
    assert "0 accepted, 3 had been accepted before" in capsys.readouterr().out
    assert main(["queue", "list", "--store", str(store)]) == 0
    assert "3" in capsys.readouterr().out

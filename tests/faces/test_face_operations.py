"""Operations: metrics, readiness, rate limit, backup, and tenants whose data never mix (F10)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from fhir_twin.cli import main
from fhir_twin.cli.serve import open_app
from fhir_twin.errors import Busy, InvalidInput
from fhir_twin.knowledge import Knowledge
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.settings import load_settings
from fhir_twin.storage.queue import Queue
from fhir_twin.storage.schema import JOB
from fhir_twin.storage.store import open_store
from fhir_twin.storage.work import NewWork
from fhir_twin.tenants import tenant_settings
from fhir_twin.web.rate import Buckets
from fhir_twin.web.tenants import mount
from fhir_twin.wiring import open_server

CANARY = "Zanzibar-Canary"


def served(sandbox: str, folder: Path, knowledge: Knowledge, **more: Any) -> Flask:
    folder.mkdir(parents=True, exist_ok=True)
    given = {"server": sandbox, "store": str(folder / "store.db"), "cache": str(folder / "cache"), **more}
    app: Flask = open_app(load_settings(given, {}), knowledge)
    return app


def test_metrics_tell_counts_and_nothing_of_patients(
    stocked_sandbox: str, tmp_path: Path, all_knowledge: Knowledge
) -> None:
    app = served(stocked_sandbox, tmp_path, all_knowledge)
    client = app.test_client()
    store = app.extensions["fhir-twin"]["store"]
    store.jobs.accept(NewWork("odd", f"Patient/{CANARY}", CANARY.encode(), CANARY))
    assert client.get(f"/api/patients/{CANARY}").status_code == 404
    text = client.get("/metrics").get_data(as_text=True)
    assert 'fhir_twin_work{box="jobs",state="queued",tenant="main"} 1.0' in text
    assert 'fhir_twin_store_up{tenant="main"} 1.0' in text
    assert "fhir_twin_requests_total" in text
    assert CANARY not in text
    store.close()


def test_ready_asks_the_store_and_names_dead_letters(
    stocked_sandbox: str, tmp_path: Path, all_knowledge: Knowledge
) -> None:
    app = served(stocked_sandbox, tmp_path, all_knowledge, queue_depth=2)
    client = app.test_client()
    store = app.extensions["fhir-twin"]["store"]
    assert client.get("/ready").get_json()["store"] == "ready"
    store.jobs.accept(NewWork("odd", "a", b"x", "1"))
    store.jobs.dead(store.jobs.claim("w"), "refused")
    assert "1 dead letters" in client.get("/ready").get_json()["store"]
    store.jobs.accept_many([NewWork("odd", "b", b"x", "2"), NewWork("odd", "c", b"x", "3")])
    with pytest.raises(Busy):
        store.jobs.accept(NewWork("odd", "d", b"x", "4"))
    full = client.post("/hooks/none", data=b"")
    assert full.status_code == 404
    store.close()


def test_too_many_requests_are_turned_away_with_a_time(
    stocked_sandbox: str, tmp_path: Path, all_knowledge: Knowledge
) -> None:
    app = served(stocked_sandbox, tmp_path, all_knowledge, rate_limit=3)
    client = app.test_client()
    statuses = [client.get("/metadata").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    answer = client.get("/metadata")
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.get_json()["issue"][0]["code"] == "throttled"
    assert client.get("/health").status_code == 200
    assert client.get("/metadata", headers={"X-API-Key": "another"}).status_code == 200
    app.extensions["fhir-twin"]["store"].close()


def test_a_bucket_fills_evenly() -> None:
    moment = [0.0]
    buckets = Buckets(60, lambda: moment[0])
    assert [buckets.take("a") for _ in range(60)] == [0.0] * 60
    assert buckets.take("a") == pytest.approx(1.0)
    moment[0] = 1.0
    assert buckets.take("a") == 0.0
    assert buckets.take("b") == 0.0


@pytest.fixture
def two(tmp_path: Path, all_knowledge: Knowledge) -> Iterator[tuple[FlaskClient, dict[str, Any]]]:
    """Two tenants, each with a sandbox of its own that holds one Patient "same" with another name."""
    with contextlib.ExitStack() as stack:
        apps: dict[str, Flask] = {}
        for name in ("north", "south"):
            sandbox = stack.enter_context(contextlib.closing(serve_sandbox(port=0)))
            server = open_server(load_settings({"server": sandbox.base}, {}))
            server.update({"resourceType": "Patient", "id": "same", "birthDate": "1960-01-01", "gender": "female",
                           "name": [{"family": f"{name}-family"}]})  # fmt: skip
            (tmp_path / f"{name}.toml").write_text(
                f'server = "{sandbox.base}"\napi_key = "key-of-{name}"\ncache = "{tmp_path / name / "cache"}"\n'
            )
        settings = tenant_settings(tmp_path, load_settings({}, {}))
        for name, own in settings.items():
            apps[name] = open_app(own, all_knowledge)
        yield mount(apps).test_client(), apps
        for app in apps.values():
            app.extensions["fhir-twin"]["store"].close()


def test_tenants_never_mix(two: tuple[FlaskClient, dict[str, Any]]) -> None:
    client, apps = two
    for name, other in (("north", "south"), ("south", "north")):
        mine = {"X-API-Key": f"key-of-{name}"}
        run = client.post(f"/t/{name}/api/patients/same/run?show=chart,plan&dryRun=true", headers=mine)
        assert run.status_code == 200
        text = run.get_data(as_text=True)
        assert f"{name}-family" in text
        assert f"{other}-family" not in text
        assert client.get(f"/t/{other}/api/patients", headers=mine).status_code == 401
    assert client.get("/t/west/api/patients").status_code == 404
    assert client.get("/").status_code == 404
    stores = [a.extensions["fhir-twin"]["store"] for a in apps.values()]
    assert stores[0].database.path != stores[1].database.path
    assert {s.tenant for s in stores} == {"north", "south"}
    bases = [a.extensions["fhir-twin"]["service"].source.base for a in apps.values()]
    assert bases[0] != bases[1]
    events = [[json.loads(r.body)["agent"][1]["network"]["address"] for r in s.audit.rows()] for s in stores]
    assert all(set(found) == {base} for found, base in zip(events, bases, strict=True))


def test_tenants_on_one_database_do_not_see_each_others_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "one.db")
    north, south = open_store(path, "north"), open_store(path, "south")
    north.jobs.accept(NewWork("k", "Patient/1", b"north", "same-key"))
    assert south.jobs.claim("w") is None
    south.jobs.accept(NewWork("k", "Patient/1", b"south", "same-key"))
    assert south.jobs.claim("w").body == b"south"  # type: ignore[union-attr]
    assert Queue(north.database, JOB, "north").claim("w").body == b"north"  # type: ignore[union-attr]
    north.close()
    south.close()


def test_settings_of_tenants_are_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_TWIN_TOKEN", "everybodys")
    (tmp_path / "a.toml").write_text('server = "https://a.example.org/fhir"\n')
    (tmp_path / "b.toml").write_text('server = "https://b.example.org/fhir"\n')
    found = tenant_settings(tmp_path, load_settings({"port": 9}, {}))
    assert found["a"].text("token") == ""
    assert found["a"].integer("port") == 9
    assert found["a"].text("store") != found["b"].text("store")
    assert found["a"].text("session_store") != found["b"].text("session_store")
    (tmp_path / "Bad Name.toml").write_text('server = "https://c.example.org/fhir"\n')
    with pytest.raises(InvalidInput):
        tenant_settings(tmp_path, load_settings({}, {}))
    with pytest.raises(InvalidInput):
        tenant_settings(tmp_path / "none", load_settings({}, {}))


def test_backup_while_in_use_and_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.db"
    store = open_store(str(path))
    for i in range(20):
        store.jobs.accept(NewWork("k", f"p{i}", b"x", str(i)))
    copy = tmp_path / "copy.db"
    assert main(["store", "backup", str(copy), "--store", str(path)]) == 0
    store.jobs.accept(NewWork("k", "later", b"x", "later"))
    again = open_store(str(copy))
    assert again.jobs.claim("w") is not None
    again.close()
    assert main(["store", "backup", str(copy), "--store", str(path)]) == 2
    assert main(["store", "check", "--store", str(path)]) == 0
    told = capsys.readouterr().out
    assert "integrity ok" in told
    assert "audit: whole" in told
    assert copy.stat().st_mode & 0o077 == 0
    assert path.stat().st_mode & 0o077 == 0
    store.close()

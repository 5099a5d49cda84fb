"""A CDS Hooks client in a page of another origin, as the public sandbox is: the browser keeps to CORS (CF-3, D1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium
from flask import Flask
from serving import Twin, served, twin

from fhir_twin.knowledge import Knowledge
from fhir_twin.web.cds_services import SEARCHED

BELL = "sandbox-arthur-bell"
REGISTERED = '[[cds_client]]\nissuer = "https://ehr.example.org"\njwks_file = "jwks.json"\n'
# What a sandbox does: discovery, prefetch by the templates from the FHIR server, the call, feedback.
CLIENT = """
const [service, prefetch, patient, done] = arguments;
(async () => {
  const json = {'Content-Type': 'application/json', Accept: 'application/json'};
  const post = (url, body) => fetch(url, {method: 'POST', headers: json, body: JSON.stringify(body)});
  const found = await fetch(service + '/cds-services', {headers: {Accept: 'application/json'}});
  const view = (await found.json()).services.find(s => s.hook === 'patient-view');
  const context = {userId: 'Practitioner/1', patientId: patient}, address = `${service}/cds-services/${view.id}`;
  const reply = await post(address, {hook: view.hook, hookInstance: crypto.randomUUID(), context, prefetch});
  const cards = (await reply.json()).cards;
  const entry = {card: cards[0].uuid, outcome: 'overridden', outcomeTimestamp: new Date().toISOString()};
  const told = await post(`${address}/feedback`, {feedback: [entry]});
  return {keys: Object.keys(view.prefetch), status: reply.status, cards: cards.length, feedback: told.status};
})().then(done, error => done({error: String(error)}));
"""


def prefetched(found: Twin) -> dict[str, Any]:
    given: dict[str, Any] = {"patient": found.server.read("Patient", BELL)}
    for key, type_ in SEARCHED.items():
        rows = found.held(type_, BELL)
        entry = [{"resource": r} for r in rows]
        given[key] = {"resourceType": "Bundle", "type": "searchset", "total": len(rows), "entry": entry}
    return given


@pytest.fixture
def sandbox_page() -> Flask:
    app = Flask("sandbox")
    app.add_url_rule("/", view_func=lambda: "<title>A CDS sandbox</title>")
    return app


def call(browser: Chromium, page: str, service: str, prefetch: dict[str, Any]) -> dict[str, Any]:
    browser.open(page)
    plain: dict[str, Any] = browser.driver.execute_async_script(CLIENT, service, prefetch, BELL)
    return plain


def test_a_sandbox_in_the_browser(
    tmp_path: Path, all_knowledge: Knowledge, browser: Chromium, sandbox_page: Flask
) -> None:
    """Beside an open service on loopback any page of this machine may call; with a client registered nobody's may, but
    those of the list (whose answer is 401 here, for the page sends no JWT)."""
    with served(sandbox_page) as page:
        here = page.replace("127.0.0.1", "localhost")
        with twin(tmp_path, all_knowledge) as found:
            given = json.loads(json.dumps(prefetched(found), default=float))
            told = call(browser, here, found.base, given)
        assert told.get("error") is None, told
        assert told["keys"] == ["patient", *SEARCHED]
        assert (told["status"], told["feedback"]) == (200, 200)
        assert told["cards"] >= 1
        (tmp_path / "jwks.json").write_text('{"keys": []}', "utf-8")
        registered = tmp_path / "servers.toml"
        for origins, reached in (("[]", False), (f'["{here}"]', True)):
            registered.write_text(f"{REGISTERED}[cds]\norigins = {origins}\n", "utf-8")
            with twin(tmp_path, all_knowledge, servers_file=str(registered)) as found:
                told = call(browser, here, found.base, given)
            assert ("Failed to fetch" in told["error"]) is not reached, told

"""Programs from npm that this project did not write: FHIR clients, JWTs of a CDS Hooks client, a browser driver.

fhir-kit-client and fhirclient (the SMART JS client) read the FHIR face; jose signs CDS Hooks calls; playwright-core
drives Chromium through a launch, and @axe-core/playwright looks at the pages. No SMART launcher and no CDS sandbox is
in a registry.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from ehr_peer import Ehr, ehr
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from werkzeug.serving import make_server

from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_server, open_service

HERE = Path(__file__).parent
ISSUER = "https://ehr.example.org"
PACKAGES = ("playwright-core@1", "@axe-core/playwright@4", "fhirclient@2", "fhir-kit-client@2", "jose@5")
Run = Callable[..., dict[str, Any]]
MARIA = stories()[1][0]


@pytest.fixture(scope="session")
def js(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs one of the .mjs files beside this one, with the packages they need; what it printed."""
    if not os.environ.get("FHIR_TWIN_PEERS"):
        pytest.skip("fetches packages from npm: make peers")
    if shutil.which("npm") is None:
        pytest.skip("needs Node.js and npm")
    folder = tmp_path_factory.mktemp("js")
    (folder / "package.json").write_text('{"type": "module"}', "utf-8")
    how = ("--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "--legacy-peer-deps")
    command = ["npm", "install", *how, *PACKAGES]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip("npm could not fetch the packages")

    def run(script: str, *arguments: str) -> dict[str, Any]:
        shutil.copy(HERE / script, folder)
        told = subprocess.run(
            ["node", script, *arguments], cwd=folder, capture_output=True, text=True, timeout=180, check=False
        )
        assert told.returncode == 0, told.stderr[-3000:]
        answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
        return answer

    return run


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def test_two_javascript_clients_read_the_fhir_face(js: Run, facade: str, patient: str) -> None:
    """E13, F1: pages, reads, an operation, a reference that is resolved, an error with its status."""
    told = js("js_clients.mjs", facade, patient)
    assert told["version"] == "4.0.1"
    assert told["risks"] == told["distinct"] == told["total"] == told["flat"] > 3
    assert told["read"] == "draft"
    assert told["twin"] == "Parameters"
    assert told["goal"] == "Goal"
    assert told["missing"] == 404
    assert told["smartMissing"] == 404


@pytest.fixture
def cds(tmp_path: Path, knowledge: Knowledge) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(service, FHIR server, private keys as JWK by algorithm); the client is registered with the public ones."""
    made: dict[str, Any] = {
        "ES384": ec.generate_private_key(ec.SECP384R1()),
        "RS384": rsa.generate_private_key(65537, 2048),
    }
    private, public = {}, []
    for name, key in made.items():
        kind: Any = ECAlgorithm if name == "ES384" else RSAAlgorithm
        private[name] = json.dumps({**kind.to_jwk(key, as_dict=True), "kid": name, "alg": name})
        public.append({**kind.to_jwk(key.public_key(), as_dict=True), "kid": name, "alg": name})
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": public}), "utf-8")
    with contextlib.closing(serve_sandbox(port=0)) as sandbox:
        open_server(load_settings({"server": sandbox.base}, {})).transaction(load_bundles()[1])
        file = tmp_path / "servers.toml"
        file.write_text(
            f'[[server]]\nname = "ehr"\nbase = "{sandbox.base}"\nlogin = "none"\n'
            f'[[cds_client]]\nissuer = "{ISSUER}"\njwks_file = "jwks.json"\nservers = ["ehr"]\n',
            "utf-8",
        )
        options = {"server": sandbox.base, "servers_file": str(file), "cache": str(tmp_path)}
        settings = load_settings(options, {})
        with serving(create_app(open_service(settings, knowledge), settings)) as base:
            yield base, sandbox.base, private


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_a_cds_hooks_client_of_its_own(js: Run, cds: tuple[str, str, dict[str, str]], algorithm: str) -> None:
    """D1, D4 to D11, CF-1, CF-2: discovery, prefetch by the templates, signed calls, feedback, 401 without a JWT."""
    service, fhir, keys = cds
    view = js("cds_client.mjs", service, fhir, MARIA, ISSUER, keys[algorithm], "patient-view")
    assert (view["status"], view["feedback"], view["unsigned"]) == (200, 200, 401)
    assert view["keys"] == 13
    assert {c["source"]["topic"]["code"] for c in view["cards"]} >= {"draft-plan"}
    order = {"resourceType": "ServiceRequest", "id": "s1", "status": "draft", "intent": "order",
             "subject": {"reference": f"Patient/{MARIA}"}, "code": {"text": "CT abdomen with contrast"}}  # fmt: skip
    drafts = {"draftOrders": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": order}]}}
    sign = js(
        "cds_client.mjs", service, fhir, MARIA, ISSUER, keys[algorithm], "order-sign", json.dumps(drafts)
    )
    assert sign["status"] == 200
    assert "metformin" in " ".join(c["summary"] for c in sign["cards"])


def test_the_page_in_another_driver(js: Run, tmp_path: Path, knowledge: Knowledge) -> None:
    """A launch to the review in Playwright: console empty, no axe violation, two origins, cookies HttpOnly."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    with ehr() as peer:
        peer.load(load_bundles()[0])
        with launched(tmp_path, peer, knowledge) as base:
            url = f"{base}/launch?iss={peer.base}&launch={peer.launch(stories()[0][0])}"
            told = js("page.mjs", browser, url)
        assert peer.faults == []
    assert told["name"].startswith("Arthur Bell")
    assert told["console"] == []
    assert told["axe"] == {"page": [], "review": []}
    assert told["focus"] == "h-answer"
    assert told["decisions"] == "Your decisions (1)"
    assert told["origins"] == 2
    assert all(http_only and own_path for _, http_only, own_path in told["cookies"])


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def launched(folder: Path, peer: Ehr, knowledge: Knowledge) -> Any:
    file = folder / "servers.toml"
    file.write_text(f'[[server]]\nname = "ehr"\nbase = "{peer.base}"\nclient_id = "twin"\n', "utf-8")
    settings = load_settings({"servers_file": str(file), "cache": str(folder / "cache")}, {})
    return serving(create_app(open_service(settings, knowledge), settings))

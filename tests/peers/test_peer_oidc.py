"""Launches against an OpenID Provider that this project did not write: npm `oidc-provider` (`make peers`).

It checks PKCE, redirect URIs, HTTP Basic, signed assertions of both algorithms, rotates refresh tokens and revokes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.model.scopes import wanted_scopes
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.transport.own_keys import OwnKeys
from fhir_twin.web import create_app
from fhir_twin.web.session_store import load_session, web_state
from fhir_twin.wiring import open_server, open_service

PATIENT, NAME = stories()[0][0], "Arthur Bell"
SERVER = Path(__file__).with_name("oidc_server.mjs")
SECRET = "a-secret-of-this-client-only-for-tests"
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="module")
def provider_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not os.environ.get("FHIR_TWIN_PEERS"):
        pytest.skip("fetches packages from npm: make peers")
    if shutil.which("npm") is None:
        pytest.skip("needs Node.js and npm")
    folder = tmp_path_factory.mktemp("oidc")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "oidc-provider@8"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip("npm could not fetch oidc-provider")
    shutil.copy(SERVER, folder)
    return folder


@pytest.fixture(scope="module")
def records() -> Iterator[str]:
    with contextlib.closing(serve_sandbox(port=0)) as sandbox:
        open_server(load_settings({"server": sandbox.base}, {})).transaction(load_bundles()[0])
        yield sandbox.base


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def registration(kind: str, keys: OwnKeys, folder: Path) -> tuple[dict[str, Any], str]:
    """(what the provider knows of us, what we know of ourselves)."""
    if kind == "public":
        return {"token_endpoint_auth_method": "none"}, 'login = "public"\n'
    if kind == "secret":
        (folder / "secret").write_text(SECRET, "utf-8")
        known = {"token_endpoint_auth_method": "client_secret_basic", "client_secret": SECRET}
        return known, 'login = "secret"\nclient_secret_file = "secret"\n'
    signed = {"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": kind}
    return {**signed, "jwks": keys.jwks()}, f'login = "key"\nalgorithm = "{kind}"\n'


@pytest.mark.parametrize("kind", ["public", "secret", "RS384", "ES384"])
def test_a_launch_a_renewal_and_a_logout(
    provider_folder: Path, records: str, knowledge: Knowledge, tmp_path: Path, kind: str
) -> None:
    keys = OwnKeys(tmp_path / "keys")
    keys.ensure(time.time())
    theirs, ours = free_port(), free_port()
    known, own = registration(kind, keys, tmp_path)
    client = {
        "client_id": "twin",
        "redirect_uris": [f"http://127.0.0.1:{ours}/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        **known,
    }
    command = ["node", SERVER.name, str(theirs), records, json.dumps([client]), PATIENT]
    scopes = " ".join(wanted_scopes("patient", v2=True, write=True))
    environment = {**os.environ, "SCOPES": scopes}
    with subprocess.Popen(
        command,
        cwd=provider_folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as provider:
        try:
            assert provider.stdout is not None
            assert provider.stdout.readline().strip() == "ready"
            iss = f"http://127.0.0.1:{theirs}/fhir"
            file = tmp_path / "servers.toml"
            file.write_text(
                f'[[server]]\nname = "p"\nbase = "{iss}"\nclient_id = "twin"\noffline = true\n{own}', "utf-8"
            )
            options = {
                "servers_file": str(file),
                "cache": str(tmp_path),
                "key_folder": str(tmp_path / "keys"),
            }
            settings = load_settings(options, {})
            app = create_app(open_service(settings, knowledge), settings)
            with served(app, ours):
                drive(app, f"http://127.0.0.1:{ours}", iss)
        finally:
            provider.terminate()


@contextlib.contextmanager
def served(app: Any, port: int) -> Iterator[None]:
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def drive(app: Any, base: str, iss: str) -> None:
    with requests.Session() as browser:
        page = browser.get(f"{base}/launch", params={"iss": iss, "launch": "abc"}, headers=HTML, timeout=60)
        assert page.status_code == 200, page.text
        assert NAME in page.text
        about = browser.get(page.url + "session.json", timeout=30).json()
        assert about["granted"] == ["plan", "read", "write"]
        tag = page.url.split("/s/")[1].strip("/")
        cookie = next(str(c.value) for c in browser.cookies if c.name == "fhir_twin_session")
        renew(app, tag, cookie)
        ended = browser.post(page.url + "logout", data={"csrf_token": about["csrf"]}, timeout=30)
        assert ended.status_code == 200


def renew(app: Any, tag: str, cookie: str) -> None:
    """The access token ends; the next read renews it, and the refresh token is another one then."""
    with app.test_request_context(f"/s/{tag}/", headers={"Cookie": f"fhir_twin_session={cookie}"}):
        state = web_state()
        kept = state.get("session", tag, now=time.time())
        assert kept is not None
        assert kept.value["user"] == "Practitioner/doc-1"
        over = {**kept.value, "token_ends": 0}
        assert state.replace(
            "session", tag, over, version=kept.version, now=time.time(), expires=kept.expires
        )
        session = load_session(tag)
        assert session is not None
        assert session.service.source.fetch(PATIENT).patient == PATIENT
        after = state.get("session", tag, now=time.time())
        assert after is not None
        assert after.value["token_ends"] > time.time()
        assert after.value["refresh_token"] != kept.value["refresh_token"]
        state.engine.dispose()

"""SMART App Launch against an authorization server over real sockets (standards.md 3, interop.md A)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from ehr_peer import Client, Ehr, Quirks, ehr, query_of
from lxml import html
from werkzeug.serving import make_server

from fhir_twin.cli.serve import open_app
from fhir_twin.errors import TwinError
from fhir_twin.knowledge import Knowledge
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.transport.own_keys import OwnKeys
from fhir_twin.web import create_app
from fhir_twin.wiring import open_service

PATIENT, OTHER = stories()[0][0], stories()[1][0]
HTML = {"Accept": "text/html"}
Served = Callable[..., contextlib.AbstractContextManager[str]]


@contextlib.contextmanager
def twin(folder: Path, sandbox: str, knowledge: Knowledge, servers: str, **options: Any) -> Iterator[str]:
    """fhir-twin with this servers file on a real socket; its URL."""
    path = folder / "servers.toml"
    path.write_text(servers, "utf-8")
    chosen = {"server": sandbox, "servers_file": str(path), "cache": str(folder / "cache"), **options}
    settings = load_settings(chosen, {})
    app = create_app(open_service(settings, knowledge), settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def serve(tmp_path: Path, stocked_sandbox: str, all_knowledge: Knowledge) -> Served:
    def start(peer: Ehr, extra: str = "", **options: Any) -> contextlib.AbstractContextManager[str]:
        login = {True: "secret"}.get(bool(peer.client.secret), "key" if peer.client.jwks_url else "public")
        secret = f'client_secret_file = "{tmp_path}/secret"\n' if peer.client.secret else ""
        (tmp_path / "secret").write_text(peer.client.secret + "\n", "utf-8")
        text = (
            f'[[server]]\nname = "ehr"\nbase = "{peer.base}"\nclient_id = "{peer.client.client_id}"\n'
            f'login = "{login}"\n{secret}{extra}'
        )
        return twin(tmp_path, stocked_sandbox, all_knowledge, text, **options)

    return start


@pytest.fixture(scope="module")
def stories_of() -> dict[str, dict[str, Any]]:
    return {story[0]: bundle for story, bundle in zip(stories(), load_bundles(), strict=True)}


@pytest.fixture
def stock(stories_of: dict[str, dict[str, Any]]) -> Callable[[Ehr], Ehr]:
    def load(peer: Ehr) -> Ehr:
        for bundle in list(stories_of.values())[:2]:
            peer.load(bundle)
        return peer

    return load


def begin(base: str, peer: Ehr, browser: requests.Session, patient: str = PATIENT) -> requests.Response:
    """The EHR opens the app; everything up to the page, redirects followed as a browser does."""
    query = {"iss": peer.base, "launch": peer.launch(patient)}
    return browser.get(f"{base}/launch", params=query, headers=HTML, timeout=60)


def to_authorize(base: str, peer: Ehr, browser: requests.Session) -> str:
    query = {"iss": peer.base, "launch": peer.launch(PATIENT)}
    return browser.get(f"{base}/launch", params=query, allow_redirects=False, timeout=30).headers["Location"]


def back(browser: requests.Session, authorize: str) -> str:
    return browser.get(authorize, allow_redirects=False, timeout=30).headers["Location"]


# --- the good way ---------------------------------------------------------------------------------


def test_an_ehr_launch_leads_to_the_patient(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """A1 A2 A3 A5 A15, SL-1..8: discovery, PKCE, token, and the token on each call."""
    with ehr() as peer, serve(stock(peer)) as base, requests.Session() as browser:
        page = begin(base, peer, browser)
        assert page.status_code == 200, page.text
        assert "Proposals" in page.text
        assert peer.faults == []
        asked = peer.calls("/authorize")[0]
        assert asked["launch"]
        assert asked["nonce"]
        assert "launch openid fhirUser patient/Observation.rs" in asked["scope"]
        assert "launch/patient" not in asked["scope"]
        assert len(asked["state"]) >= 22
        told = peer.calls("/token")[0]
        assert told["client_id"] == "twin"
        assert told["grant_type"] == "authorization_code"
        assert 43 <= len(told["code_verifier"]) <= 128
        assert "scope" not in told
        records = [
            f
            for m, p, f in peer.seen
            if p.startswith("/fhir/") and ".well-known" not in p and "metadata" not in p
        ]
        assert records
        assert all(f["_authorization"].startswith("Bearer ") for f in records)
        assert "/s/" in page.url
        assert PATIENT not in page.url  # no PHI in URLs


def test_standalone_sends_no_launch(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """A3, SL-11."""
    with (
        ehr(quirks=Quirks(patient=PATIENT)) as peer,
        serve(stock(peer)) as base,
        requests.Session() as browser,
    ):
        chosen = browser.get(f"{base}/smart/login", timeout=30)
        assert "/smart/login?server=ehr" in chosen.text
        page = browser.get(f"{base}/smart/login?server=ehr", headers=HTML, timeout=60)
        assert page.status_code == 200, page.text
        asked = peer.calls("/authorize")[0]
        assert "launch" not in asked
        assert "launch/patient" in asked["scope"].split()
        assert peer.faults == []


def test_a_confidential_client_uses_basic_only(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """A6, SL-7."""
    with ehr(Client(secret="s3cret-of-this-client")) as peer, serve(stock(peer)) as base:
        assert begin(base, peer, requests.Session()).status_code == 200
        assert "client_id" not in peer.calls("/token")[0]
        assert peer.faults == []


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_an_assertion_is_signed_by_a_published_key(
    serve: Served, stock: Callable[[Ehr], Ehr], tmp_path: Path, algorithm: str
) -> None:
    """A6, BS-1, BS-2, B1, B3."""
    with ehr(Client(jwks_url="ours")) as peer, serve(stock(peer), f'algorithm = "{algorithm}"\n') as base:
        published = requests.get(f"{base}/.well-known/jwks.json", timeout=30)
        assert "max-age" in published.headers["Cache-Control"]
        keys = published.json()["keys"]
        assert {k["alg"] for k in keys} == {"RS384", "ES384"}
        assert all(not set(k) & {"d", "p", "q", "dp", "dq", "qi", "k"} for k in keys)
        peer.fetch_jwks = lambda _url: requests.get(f"{base}/.well-known/jwks.json", timeout=30).json()
        assert begin(base, peer, requests.Session()).status_code == 200
        rotated = OwnKeys(tmp_path / "cache" / "web" / "keys")
        rotated.make(algorithm, time.time() - 7200)  # type: ignore[arg-type]
        assert len(requests.get(f"{base}/.well-known/jwks.json", timeout=30).json()["keys"]) == 3
        assert begin(base, peer, requests.Session()).status_code == 200
        assert peer.faults == []


POSTED = Quirks(capabilities=(*Quirks().capabilities, "authorize-post"), post_only=True)


def form_of(page: str) -> tuple[str, dict[str, str]]:
    """Address and fields of the one form of a page."""
    [form] = html.fromstring(page).forms
    assert form.method == "POST"
    return form.action, dict(form.fields)


def test_the_login_request_is_a_post_where_that_is_wanted_and_offered(
    serve: Served, stock: Callable[[Ehr], Ehr]
) -> None:
    """SL-4, BS-5 authorize-post: the same fields in a form, nothing of them in an address."""
    with ehr(quirks=POSTED) as peer, serve(stock(peer), "authorize_post = true\n") as base:
        browser = requests.Session()
        query = {"iss": peer.base, "launch": peer.launch(PATIENT)}
        page = browser.get(f"{base}/launch", params=query, headers=HTML, allow_redirects=False, timeout=30)
        assert page.status_code == 200
        assert f"form-action 'self' {peer.origin};" in page.headers["Content-Security-Policy"]
        address, fields = form_of(page.text)
        assert address == f"{peer.origin}/authorize"
        assert fields["launch"] == query["launch"]
        assert fields["code_challenge_method"] == "S256"
        landed = browser.post(address, data=fields, headers=HTML, timeout=60)
        assert "Proposals" in landed.text
        assert peer.faults == []
    # Not announced: a GET, whatever is registered. Announced and not registered: a GET too.
    for quirks, extra in ((Quirks(), "authorize_post = true\n"), (replace(POSTED, post_only=False), "")):
        with ehr(quirks=quirks) as peer, serve(stock(peer), extra) as base:
            assert "code_challenge" in query_of(to_authorize(base, peer, requests.Session()))


# --- habits of real servers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quirks",
    [
        Quirks(string_expiry=True),
        Quirks(no_expiry=True),
        Quirks(token_type="bearer"),
        Quirks(token_type=None),
        Quirks(id_token=None),
        Quirks(id_token_kid=False),
        Quirks(fhir_user="https://other.example/fhir/Practitioner/doc-1"),
        Quirks(relative_endpoints=True),
        Quirks(well_known=False, oauth_uris=True, id_token=None),
        Quirks(s256=None),
        Quirks(patient=f"Patient/{PATIENT}"),
        Quirks(scope=lambda _asked: None),
        Quirks(scope=lambda _asked: "launch openid fhirUser patient/*.read"),
        Quirks(scope=lambda _asked: "user/*.rs launch"),
        Quirks(extra={"need_patient_banner": "false", "tenant": "t", "surprise": {"x": 1}}),
        Quirks(
            extra={"fhirContext": ["ImagingStudy/1", {"reference": "Encounter/1"}, 7, {"role": "launch"}]}
        ),
        Quirks(extra={"smart_style_url": "http://127.0.0.1:1/style.json"}),
    ],
    ids=lambda q: (
        ",".join(k for k, v in vars(q).items() if v != vars(Quirks())[k] and not callable(v)) or "scope"
    ),
)
def test_habits_that_must_not_stop_a_launch(
    serve: Served, stock: Callable[[Ehr], Ehr], quirks: Quirks
) -> None:
    """A9, A10, A16 and the oddities of token answers."""
    with ehr(quirks=quirks) as peer, serve(stock(peer)) as base:
        browser = requests.Session()
        callback = back(browser, to_authorize(base, peer, browser))
        landed = browser.get(callback, headers=HTML, allow_redirects=False, timeout=30)
        assert landed.status_code == 303, landed.text
        about = browser.get(f"{base}{landed.headers['Location']}session.json", timeout=30).json()
        assert {"read", "plan"} <= set(about["granted"])
        assert peer.faults == []


@pytest.mark.parametrize(
    ("quirks", "status", "words"),
    [
        (Quirks(s256=False), 400, "PKCE"),
        (Quirks(well_known=False), 400, "no SMART login"),
        (Quirks(token_origin="http://127.0.0.1:9"), 403, "another origin"),
        (Quirks(authorize_error=("access_denied", "The user said <b>no</b>")), 401, "said &lt;b&gt;no"),
        (Quirks(token_error=(400, {"error": "invalid_grant", "error_description": "Too late"})), 401, "Too late"),
        (Quirks(token_error=(500, {"oops": 1})), 502, "without an OAuth error"),
        (Quirks(token_error=(200, {"error": "invalid_client"})), 401, "invalid_client"),
        (Quirks(token_body=b"<html>"), 502, "not JSON"),
        (Quirks(token_body=b"x" * 2_000_000), 413, "larger"),
        (Quirks(token_body=b'{"access_token":"a b","token_type":"Bearer"}'), 502, "no usable access token"),
        (Quirks(expires_in=-1), 502, "lifetime"),
        (Quirks(token_type="mac"), 502, "no bearer"),
        (Quirks(patient="../../metadata"), 502, "whose id is not one"),
        (Quirks(id_token="forged"), 401, "signature"),
        (Quirks(id_token="none"), 401, "not taken"),
        (Quirks(id_claims={"aud": "somebody-else"}), 401, "another client"),
        (Quirks(id_claims={"iss": "https://evil.example"}), 401, "another issuer"),
        (Quirks(id_claims={"exp": 1_600_000_000}), 401, "expired"),
        (Quirks(id_claims={"nonce": "stolen"}), 401, "nonce"),
        (Quirks(id_claims={"exp": None}), 401, "missing"),
        (Quirks(scope=lambda _asked: "launch openid"), 401, "Patient.r"),
    ],
)  # fmt: skip
def test_what_must_not_become_a_session(
    serve: Served, stock: Callable[[Ehr], Ehr], quirks: Quirks, status: int, words: str
) -> None:
    """A4, A12, SL-13, security.md 5.3 rows 10, 19: said to the user, and no session."""
    with ehr(quirks=quirks) as peer, serve(stock(peer)) as base, requests.Session() as browser:
        page = begin(base, peer, browser)
        assert page.status_code == status, page.text
        assert words in page.text
        assert not [c for c in browser.cookies if c.name == "fhir_twin_session"]
        assert len(peer.calls("/token")) <= 1  # nothing is retried blindly


@pytest.mark.parametrize(
    ("claim", "seconds", "status"),
    [("iat", 45, 303), ("exp", -45, 303), ("iat", 150, 401), ("exp", -150, 401), ("nbf", 150, 401)],
)
def test_clocks_may_differ_by_a_minute(
    serve: Served, stock: Callable[[Ehr], Ehr], claim: str, seconds: int, status: int
) -> None:
    """SS-5, SL-13: a skew of up to 60 s is not an attack; more is."""
    quirks = Quirks(id_claims={claim: int(time.time()) + seconds})
    with ehr(quirks=quirks) as peer, serve(stock(peer)) as base:
        browser = requests.Session()
        callback = back(browser, to_authorize(base, peer, browser))
        quirks.id_claims[claim] = int(time.time()) + seconds
        assert browser.get(callback, headers=HTML, allow_redirects=False, timeout=30).status_code == status


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS384", "PS256"])
def test_an_identity_token_of_any_public_key_algorithm(
    serve: Served, stock: Callable[[Ehr], Ehr], algorithm: str
) -> None:
    """SL-13, A10: keys of several kinds in one set; the next login finds a rotated key."""
    with ehr(quirks=Quirks(id_algorithm=algorithm)) as peer, serve(stock(peer)) as base:
        for _ in range(2):
            browser = requests.Session()
            callback = back(browser, to_authorize(base, peer, browser))
            landed = browser.get(callback, headers=HTML, allow_redirects=False, timeout=30)
            assert landed.status_code == 303, landed.text
            about = browser.get(f"{base}{landed.headers['Location']}session.json", timeout=30).json()
            assert "the server did not say who is logged in" not in about["notes"]
            peer.rotate()


def test_what_the_launch_brings_is_read(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """A16, SL-9, SL-12: fhirContext without a second patient, the banner, what the login left open."""
    brought = {
        "need_patient_banner": False,
        "fhirContext": [
            {"reference": "ImagingStudy/1"},
            {"reference": f"Patient/{OTHER}"},
            {"reference": f"Patient/{OTHER}", "role": "https://x.example/donor"},
        ],
    }
    with ehr(quirks=Quirks(extra=brought, id_token=None)) as peer, serve(stock(peer)) as base:
        browser = requests.Session()
        landed = browser.get(
            back(browser, to_authorize(base, peer, browser)), allow_redirects=False, timeout=30
        )
        about = browser.get(f"{base}{landed.headers['Location']}session.json", timeout=30).json()
        assert about["banner"] is False
        assert [c["reference"] for c in about["fhir_context"]] == ["ImagingStudy/1", f"Patient/{OTHER}"]
        assert about["notes"] == ["the server did not say who is logged in"]


def test_a_patient_that_is_not_named_is_asked_for(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """SL-10, A11: a picker, never a guess; then the session is that patient's."""
    with (
        ehr(quirks=Quirks(patient=None, scope=lambda s: s + " patient/Patient.rs")) as peer,
        serve(stock(peer)) as base,
    ):
        browser = requests.Session()
        page = begin(base, peer, browser)
        assert page.url.endswith("/pick"), page.text
        token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
        found = browser.post(page.url + "/search", data={"q": "Bell", "csrf_token": token}, timeout=30)
        assert PATIENT in found.text
        assert "Bell" not in found.url
        refused = browser.post(page.url, data={"patient": PATIENT}, headers=HTML, timeout=30)
        assert refused.status_code == 403
        chosen = browser.post(
            page.url, data={"patient": PATIENT, "csrf_token": token}, headers=HTML, timeout=60
        )
        assert chosen.status_code == 200, chosen.text
        assert "Proposals" in chosen.text
        assert browser.get(page.url, headers=HTML, timeout=30).status_code == 401  # the old one is gone


def test_fewer_scopes_are_read_and_said(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """A8, SC-4: what is not granted is not asked for, and never counts as empty."""
    kept = "launch openid fhirUser patient/Patient.r patient/Observation.rs patient/Condition.rs"
    with ehr(quirks=Quirks(scope=lambda _asked: kept)) as peer, serve(stock(peer)) as base:
        page = begin(base, peer, requests.Session())
        assert page.status_code == 200
        assert "not-permitted" in page.text or "not permitted" in page.text
        asked = " ".join(p + str(f) for _, p, f in peer.seen if p.startswith("/fhir"))
        assert "AllergyIntolerance" not in asked


# --- attacks ----------------------------------------------------------------------------------------


def test_states_are_used_once_and_by_their_own_browser(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """A4, SL-2, SL-5, security.md 5.3 rows 15, 16, 18."""
    with ehr() as peer, serve(stock(peer)) as base:
        for state in ("", "x" * 43):
            answer = requests.get(f"{base}/callback", params={"code": "c", "state": state}, timeout=30)
            assert answer.status_code == 400
        mine, thief = requests.Session(), requests.Session()
        callback = back(mine, to_authorize(base, peer, mine))
        assert thief.get(callback, headers=HTML, timeout=30).status_code == 400
        assert mine.get(callback, headers=HTML, timeout=30).status_code == 400, (
            "a stolen state is dead for all"
        )
        assert peer.calls("/token") == []
        good = back(mine, to_authorize(base, peer, mine))
        assert mine.get(good, headers=HTML, timeout=60).status_code == 200
        again = mine.get(good, headers=HTML, timeout=30)
        assert again.status_code == 400
        assert len(peer.calls("/token")) == 1


@pytest.mark.parametrize(
    "iss",
    [
        "http://127.0.0.1:1/fhir",
        "https://evil.example/fhir",
        "http://169.254.169.254/",
        "{base}@evil.example/",
        "{base}\\@evil.example",
        "{base}/../admin",
        "{base}x",
        "file:///etc/passwd",
        "",
    ],
)
def test_an_unknown_iss_is_refused_without_a_call(serve: Served, iss: str) -> None:
    """SL-2, security.md 5.3 rows 1 to 4, 9."""
    with ehr() as peer, serve(peer) as base:
        answer = requests.get(
            f"{base}/launch",
            params={"iss": iss.format(base=peer.base), "launch": "x"},
            headers=HTML,
            timeout=30,
        )
        assert answer.status_code in (400, 403)
        assert peer.seen == []


def test_an_iss_with_a_trailing_slash_and_a_pattern(
    tmp_path: Path, stocked_sandbox: str, all_knowledge: Knowledge, stock: Callable[[Ehr], Ehr]
) -> None:
    """aud is the iss as it came, or as registered; `*` stands for one path segment (the public launcher)."""
    with ehr() as peer:
        stock(peer)
        text = f'[[server]]\nname = "x"\nbase = "{peer.origin}/*"\nclient_id = "twin"\naud = "{peer.base}"\n'
        with twin(tmp_path, stocked_sandbox, all_knowledge, text) as base:
            query = {"iss": peer.base + "/", "launch": peer.launch(PATIENT)}
            page = requests.Session().get(f"{base}/launch", params=query, headers=HTML, timeout=60)
            assert page.status_code == 200, page.text
            deep = {"iss": f"{peer.origin}/a/b", "launch": "x"}
            assert requests.get(f"{base}/launch", params=deep, timeout=30).status_code == 403


def test_a_redirect_after_launch_is_never_followed_elsewhere(
    serve: Served, stock: Callable[[Ehr], Ehr]
) -> None:
    """security.md 5.3 row 17, A14."""
    with ehr() as peer, serve(stock(peer)) as base:
        browser = requests.Session()
        callback = back(browser, to_authorize(base, peer, browser))
        answer = browser.get(callback + "&redirect=https://evil.example", allow_redirects=False, timeout=60)
        assert answer.headers["Location"].startswith("/s/")


# --- sessions ---------------------------------------------------------------------------------------


def test_two_launches_in_one_browser_never_mix(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """SS-6: each has its own address and cookie."""
    with ehr() as peer, serve(stock(peer)) as base, requests.Session() as browser:
        first, second = begin(base, peer, browser), begin(base, peer, browser, OTHER)
        assert first.url != second.url
        one = browser.get(first.url, headers=HTML, timeout=60).text
        two = browser.get(second.url, headers=HTML, timeout=60).text
        assert "Arthur Bell" in one
        assert "Arthur Bell" not in two
        assert "Maria Ortega" in two


def test_a_session_needs_its_cookie_and_ends(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """SS-7, security.md 5.3 rows 27, 28: tampered, foreign, after logout."""
    with ehr() as peer, serve(stock(peer)) as base, requests.Session() as browser:
        page = begin(base, peer, browser)
        assert requests.get(page.url, headers=HTML, timeout=30).status_code == 401
        cookie = next(c for c in browser.cookies if c.name == "fhir_twin_session")
        assert cookie.path.startswith("/s/")
        assert cookie.has_nonstandard_attr("HttpOnly")
        wrong = requests.get(page.url, cookies={"fhir_twin_session": "x" + cookie.value[1:]}, timeout=30)
        assert wrong.status_code == 401
        assert browser.post(page.url + "logout", headers=HTML, timeout=30).status_code == 403
        token = csrf_of(base, page.url, browser)
        ended = browser.post(page.url + "logout", data={"csrf_token": token}, headers=HTML, timeout=30)
        assert ended.status_code == 200, ended.text
        assert peer.tokens == {}, "the token is revoked"
        stolen = requests.get(page.url, cookies={"fhir_twin_session": cookie.value}, headers=HTML, timeout=30)
        assert stolen.status_code == 401


def csrf_of(base: str, url: str, browser: requests.Session) -> str:
    del base
    return browser.get(url + "session.json", timeout=30).json()["csrf"]


def test_an_idle_session_ends(
    serve: Served, stock: Callable[[Ehr], Ehr], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SS-7."""
    with ehr() as peer, serve(stock(peer), session_idle=60) as base, requests.Session() as browser:
        page = begin(base, peer, browser)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 61)
        assert browser.get(page.url, headers=HTML, timeout=60).status_code == 401


def test_refresh_tokens_rotate_and_are_used_once(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """A7, SL-14: an expired access token is renewed once, however many requests want it at once."""
    quirks = Quirks(refresh=True, expires_in=20)  # within the skew: already to be renewed
    with (
        ehr(quirks=quirks) as peer,
        serve(stock(peer), "offline = true\n") as base,
        requests.Session() as browser,
    ):
        page = begin(base, peer, browser)
        assert page.status_code == 200, page.text
        assert "offline_access" in peer.calls("/authorize")[0]["scope"]
        quirks.expires_in = 300
        threads = [
            threading.Thread(target=browser.get, args=(page.url,), kwargs={"timeout": 60}) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert browser.get(page.url, headers=HTML, timeout=60).status_code == 200
        renewals = [f for f in peer.calls("/token") if f["grant_type"] == "refresh_token"]
        assert len({f["refresh_token"] for f in renewals}) == len(renewals)
        assert peer.faults == []


def test_a_login_that_is_over_says_so(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """SL-14: invalid_grant means launch again."""
    with ehr() as peer, serve(stock(peer)) as base, requests.Session() as browser:
        page = begin(base, peer, browser)
        peer.tokens.clear()
        token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
        answer = browser.post(page.url + "reload", data={"csrf_token": token}, headers=HTML, timeout=60)
        assert answer.status_code == 401
        assert "open the page from there again" in answer.text


def test_nothing_secret_is_stored_in_clear(
    serve: Served, stock: Callable[[Ehr], Ehr], tmp_path: Path
) -> None:
    """SS-1, A14."""
    with ehr(quirks=Quirks(refresh=True)) as peer, serve(stock(peer)) as base, requests.Session() as browser:
        page = begin(base, peer, browser)
        stored = b"".join(p.read_bytes() for p in (tmp_path / "cache" / "web").glob("web.sqlite*"))
        tag = page.url.split("/s/")[1].strip("/")
        secrets = [*peer.tokens, PATIENT, tag, *(c.value or "" for c in browser.cookies)]
        assert all(s.encode() not in stored for s in secrets if s)
        assert (tmp_path / "cache" / "web" / "secret.key").stat().st_mode & 0o077 == 0


def test_cookies_for_a_frame(serve: Served, stock: Callable[[Ehr], Ehr]) -> None:
    """SL-16: SameSite=None; Secure; Partitioned when frames are allowed, and CSP names who may frame."""
    options = {"frame_ancestors": "https://ehr.example.org", "public_url": ""}
    with ehr() as peer, serve(stock(peer), **options) as base:
        answer = requests.get(
            f"{base}/launch", params={"iss": peer.base, "launch": "x"}, allow_redirects=False, timeout=30
        )
        cookie = answer.headers["Set-Cookie"]
        assert all(word in cookie for word in ("SameSite=None", "Secure", "Partitioned", "HttpOnly"))
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors https://ehr.example.org" in policy
        assert query_of(answer.headers["Location"])["redirect_uri"] == f"{base}/callback"


def test_below_a_path_and_without_a_server_of_its_own(tmp_path: Path, all_knowledge: Knowledge) -> None:
    """Behind a proxy at https://host/twin, which takes the path off or not; the front page leads to a login."""
    path = tmp_path / "servers.toml"
    path.write_text('[[server]]\nname = "a"\nbase = "http://127.0.0.1:9/fhir"\nclient_id = "c"\n', "utf-8")
    options = {
        "servers_file": str(path),
        "cache": str(tmp_path),
        "public_url": "https://x.example/twin",
        "api_key": "k" * 20,
    }
    settings = load_settings(options, {})
    client = create_app(open_service(settings, all_knowledge), settings).test_client()
    for prefix in ("", "/twin"):
        front = client.get(f"{prefix}/", headers=HTML)
        assert front.headers["Location"] == "/twin/smart/login"
        assert client.get(f"{prefix}/smart/login").status_code == 200
    assert client.get("/twin/api/patients").status_code == 401
    assert client.get("/cds-services").json["services"]
    assert client.get("/smart/login").headers["Strict-Transport-Security"]


def test_a_service_that_others_reach_needs_an_https_address(tmp_path: Path, all_knowledge: Knowledge) -> None:
    """A14: redirect URIs and audiences are built from public_url, never from a Host header."""
    path = tmp_path / "servers.toml"
    path.write_text('[[server]]\nname = "a"\nbase = "https://a.example/fhir"\nclient_id = "c"\n', "utf-8")
    for options in ({"host": "0.0.0.0", "api_key": "k" * 20}, {"public_url": "http://x.example", "api_key": "k" * 20},
                    {"public_url": "https://x.example"}):  # fmt: skip
        settings = load_settings({"servers_file": str(path), "cache": str(tmp_path), **options}, {})
        with pytest.raises(TwinError):
            create_app(open_service(settings, all_knowledge), settings)


def test_serve_starts_without_a_server_of_its_own(tmp_path: Path) -> None:
    """The whole assembly of `fhir-twin serve`, with its store and audit."""
    path = tmp_path / "servers.toml"
    path.write_text('[[server]]\nname = "a"\nbase = "http://127.0.0.1:9/fhir"\nclient_id = "c"\n', "utf-8")
    options = {"servers_file": str(path), "cache": str(tmp_path), "store": str(tmp_path / "store.db")}
    client = open_app(load_settings(options, {})).test_client()
    assert client.get("/", headers=HTML).headers["Location"] == "/smart/login"
    assert client.get("/ready").status_code == 200

"""CDS Hooks over real sockets (standards.md 4, interop.md D, security.md 5.3)."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from ehr_peer import Ehr, ehr
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from werkzeug.serving import make_server

from fhir_twin.errors import StoreError
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.audit import AuditNote
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.web.cds_services import SEARCHED
from fhir_twin.wiring import open_service

NAMES = [story[0] for story in stories()]
ARTHUR, MARIA, GRACE = NAMES[0], NAMES[1], NAMES[2]
MINOR = next(n for n in NAMES if "leo" in n)
ISSUER = "https://ehr.example.org"
KEYS = {"ES384": ec.generate_private_key(ec.SECP384R1()), "RS384": rsa.generate_private_key(65537, 2048)}
Post = Callable[..., requests.Response]


def jwks() -> dict[str, Any]:
    ec_key = ECAlgorithm.to_jwk(KEYS["ES384"].public_key(), as_dict=True)  # type: ignore[arg-type]
    rsa_key = RSAAlgorithm.to_jwk(KEYS["RS384"].public_key(), as_dict=True)  # type: ignore[arg-type]
    weak = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    return {"keys": [{**ec_key, "kid": "e"}, {**rsa_key, "kid": "r"}, {**weak, "kid": "weak"}]}


@contextlib.contextmanager
def serving(sandbox: str, knowledge: Knowledge, **options: Any) -> Iterator[str]:
    settings = load_settings({"server": sandbox, **options}, {})
    server = make_server(
        "127.0.0.1", 0, create_app(open_service(settings, knowledge), settings), threaded=True
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def peer() -> Iterator[Ehr]:
    with ehr() as running:
        for bundle in load_bundles():
            running.load(bundle)
        running.tokens["cds-token"] = {"ends": time.time() + 3600, "scope": ""}
        yield running


@pytest.fixture(scope="module")
def signed(
    tmp_path_factory: pytest.TempPathFactory, stocked_sandbox: str, all_knowledge: Knowledge, peer: Ehr
) -> Iterator[str]:
    """A service with a registered CDS client."""
    folder = tmp_path_factory.mktemp("cds")
    (folder / "jwks.json").write_text(json.dumps(jwks()), "utf-8")
    (folder / "servers.toml").write_text(
        f'[[server]]\nname = "ehr"\nbase = "{peer.base}"\nclient_id = "twin"\n'
        '[[server]]\nname = "other"\nbase = "https://other.example/fhir"\nclient_id = "twin"\n'
        f'[[cds_client]]\nissuer = "{ISSUER}"\njwks_file = "jwks.json"\nservers = ["ehr"]\n'
        '[cds]\norigins = ["https://sandbox.example"]\n',
        "utf-8",
    )
    options = {"servers_file": str(folder / "servers.toml"), "cache": str(folder / "cache")}
    with serving(stocked_sandbox, all_knowledge, **options) as base:
        yield base


@pytest.fixture(scope="module")
def open_service_url(
    tmp_path_factory: pytest.TempPathFactory, stocked_sandbox: str, all_knowledge: Knowledge
) -> Iterator[str]:
    """A service on loopback with nothing registered: the demo."""
    folder = tmp_path_factory.mktemp("open")
    with serving(stocked_sandbox, all_knowledge, cache=str(folder / "cache")) as base:
        yield base


def token(url: str, algorithm: str = "ES384", head: dict[str, Any] | None = None, **claims: Any) -> str:
    now = int(time.time())
    body = {"iss": ISSUER, "aud": url, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4()), **claims}
    headers = {"kid": {"ES384": "e", "RS384": "r"}[algorithm], "typ": "JWT", **(head or {})}
    kept = {k: v for k, v in body.items() if v is not None}
    return jwt.encode(kept, KEYS[algorithm], algorithm=algorithm, headers=headers)


@pytest.fixture
def post(signed: str) -> Post:
    def send(path: str, body: Any, **more: Any) -> requests.Response:
        url = f"{signed}/cds-services{path}"
        headers = {"Authorization": f"Bearer {token(url)}", **more.pop("headers", {})}
        return requests.post(url, json=body, headers=headers, timeout=60, **more)

    return send


def record(patient: str) -> list[dict[str, Any]]:
    bundle = load_bundles()[NAMES.index(patient)]
    plain = json.loads(json.dumps(bundle, default=float))
    return [e["resource"] for e in plain["entry"]]


def full_prefetch(patient: str) -> dict[str, Any]:
    rows = record(patient)
    found: dict[str, Any] = {"patient": next(r for r in rows if r["resourceType"] == "Patient")}
    for key, type_ in SEARCHED.items():
        entries = [{"resource": r} for r in rows if r["resourceType"] == type_]
        found[key] = {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries}
    return found


def hook(name: str, patient: str, **more: Any) -> dict[str, Any]:
    context = {"userId": "Practitioner/none-such", "patientId": patient, **more.pop("context", {})}
    return {"hook": name, "hookInstance": str(uuid.uuid4()), "context": context, **more}


def order(id_: str, patient: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": id_,
        "status": "draft",
        "intent": "order",
        "subject": {"reference": f"Patient/{patient}"},
        "medicationCodeableConcept": {"text": text},
        **more,
    }


def sign(patient: str, *orders: dict[str, Any], name: str = "order-sign", **context: Any) -> dict[str, Any]:
    drafts = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": o} for o in orders]}
    return hook(name, patient, context={"draftOrders": drafts, **context}, prefetch=full_prefetch(patient))


def has_nothing_empty(value: Any) -> bool:
    """D2, CH-8; `cards: []` itself is the one list that may be empty."""
    if isinstance(value, dict):
        return all(has_nothing_empty(v) for v in value.values())
    if isinstance(value, list):
        return bool(value) and all(has_nothing_empty(v) for v in value)
    return value is not None and value != ""


def check_cards(answer: requests.Response) -> list[dict[str, Any]]:
    """Every promise of the specification on every card (D2, D6 to D9, CR-1..5)."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    cards: list[dict[str, Any]] = answer.json()["cards"]
    for card in cards:
        assert has_nothing_empty(card)
        assert len(card["summary"]) < 140
        assert "\n" not in card["summary"]
        assert card["indicator"] in ("info", "warning", "critical")
        assert card["source"]["label"]
        assert set(card["source"]["topic"]) == {"system", "code", "display"}
        uuid.UUID(card["uuid"])
        assert "<" not in card.get("detail", "")
        for reason in card.get("overrideReasons", []):
            assert set(reason) == {"system", "code", "display"}
        for link in card.get("links", []):
            assert link["type"] == "smart"
            assert link["url"].endswith("/launch")
            assert link["appContext"].startswith("ft1-")
        if "suggestions" in card:
            assert card["selectionBehavior"] in ("any", "at-most-one")
        for suggestion in card.get("suggestions", []):
            uuid.UUID(suggestion["uuid"])
            assert suggestion["label"]
            for action in suggestion["actions"]:
                check_action(action)
        assert broken_invariants(card) == []
    assert len({c["uuid"] for c in cards}) == len(cards)
    return cards


def broken_invariants(card: dict[str, Any]) -> list[str]:
    """CR-7: the invariants of the 3.0 ballot's logical model of a response, and what its comments say besides."""
    suggestions = card.get("suggestions", [])
    actions = [a for s in suggestions for a in s["actions"]]
    holds = {
        "cds-resp-2": all(
            "resourceId" in a and "resource" not in a for a in actions if a["type"] == "delete"
        ),
        "cds-resp-3": all("appContext" not in k or k["type"] == "smart" for k in card.get("links", [])),
        "cds-resp-4": all(r.get("display") for r in card.get("overrideReasons", [])),
        "cds-resp-5": all(a.get("description") for a in actions),
        "cds-resp-6": not suggestions or "selectionBehavior" in card,
        "cds-resp-7": all("actionSelectionBehavior" not in s for s in suggestions),
        "resource": all("resource" in a for a in actions if a["type"] != "delete"),
        "recommended": card.get("selectionBehavior") == "any"
        or sum(bool(s.get("isRecommended")) for s in suggestions) <= 1,
        "deletes first": all(
            [a["type"] for a in s["actions"]]
            == sorted((a["type"] for a in s["actions"]), key=["delete", "create"].index)
            for s in suggestions
        ),
    }
    return [name for name, held in holds.items() if not held]


def check_action(action: dict[str, Any]) -> None:
    assert action["description"]
    if action["type"] == "delete":
        assert action["resourceId"].split("/")[0] in ("MedicationRequest", "ServiceRequest")
        return
    assert action["type"] == "create"
    resource = action["resource"]
    # CR-4: beside draft orders a suggestion has their intent, which the rule for plans (CP-1) does not know.
    assert validate_resource({**resource, **({"intent": "proposal"} if "intent" in resource else {})}) == ()
    assert "id" not in resource
    assert "urn:uuid" not in json.dumps(resource)
    assert resource.get("status", "draft") == "draft"
    subject = resource.get("subject") or resource.get("patient")
    assert subject["reference"].startswith("Patient/")


# --- discovery ---------------------------------------------------------------------------------------


def test_discovery(signed: str) -> None:
    """CH-1, CH-4, D1, D3."""
    answer = requests.get(f"{signed}/cds-services", timeout=30)
    services = answer.json()["services"]
    assert {s["hook"] for s in services} == {"patient-view", "order-select", "order-sign"}
    assert len({s["id"] for s in services}) == 3
    for service in services:
        assert all(isinstance(service[k], str) for k in ("hook", "id", "description", "title"))
        for template in service["prefetch"].values():
            assert "{{context.patientId}}" in template
            assert "_include" not in template
            assert "today" not in template
    assert has_nothing_empty(services)


def test_cors_for_registered_origins_only(signed: str) -> None:
    """CF-3, D1."""
    for path in ("", "/fhir-twin-patient-view", "/fhir-twin-patient-view/feedback"):
        url = f"{signed}/cds-services{path}"
        asked = {"Origin": "https://sandbox.example", "Access-Control-Request-Method": "POST"}
        good = requests.options(url, headers=asked, timeout=30)
        assert good.status_code in (200, 204)
        assert good.headers["Access-Control-Allow-Origin"] == "https://sandbox.example"
        assert "Authorization" in good.headers["Access-Control-Allow-Headers"]
        local = {**asked, "Access-Control-Request-Private-Network": "true"}
        assert "Access-Control-Allow-Private-Network" not in good.headers
        assert requests.options(url, headers=local, timeout=30).headers[
            "Access-Control-Allow-Private-Network"
        ]
        bad = requests.options(url, headers={**local, "Origin": "https://evil.example"}, timeout=30)
        assert not [name for name in bad.headers if name.startswith("Access-Control-Allow")]
    refused = requests.post(
        f"{signed}/cds-services/fhir-twin-patient-view",
        headers={"Origin": "https://sandbox.example"},
        timeout=30,
    )
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://sandbox.example"


# --- who calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_a_signed_call_is_served(signed: str, algorithm: str) -> None:
    """CF-2, D11: aud as text and as a list; iat a second ahead."""
    url = f"{signed}/cds-services/fhir-twin-patient-view"
    now = int(time.time())
    for aud in (url, [url, "https://else.example"]):
        held = token(url, algorithm, aud=aud, iat=now + 1, tenant="t")
        body = hook("patient-view", ARTHUR, prefetch=full_prefetch(ARTHUR))
        answer = requests.post(url, json=body, headers={"Authorization": f"Bearer {held}"}, timeout=60)
        assert check_cards(answer)


def bad_tokens(url: str) -> dict[str, str]:
    now = int(time.time())
    public = KEYS["RS384"].public_key()
    other = ec.generate_private_key(ec.SECP384R1())
    claims = {"iss": ISSUER, "aud": url, "iat": now, "exp": now + 300}
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"r"}').rstrip(b"=")
    payload = base64.urlsafe_b64encode(json.dumps({**claims, "jti": "h"}).encode()).rstrip(b"=")
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mac = base64.urlsafe_b64encode(hmac.digest(pem, head + b"." + payload, "sha256")).rstrip(b"=")
    return {
        "none": jwt.encode({**claims, "jti": "n"}, "", algorithm="none"),
        "hs256-with-the-public-key": b".".join((head, payload, mac)).decode(),
        "rs256": jwt.encode({**claims, "jti": "q"}, KEYS["RS384"], algorithm="RS256", headers={"kid": "r"}),
        "no-exp": token(url, exp=None),
        "no-jti": token(url, jti=None),
        "no-iat": token(url, iat=None),
        "exp-in-ten-years": token(url, exp=now + 315_000_000),
        "expired": token(url, exp=now - 120),
        "iat-an-hour-ahead": token(url, iat=now + 3600, exp=now + 3700),
        "aud-with-slash": token(url, aud=url + "/"),
        "aud-of-another": token(url, aud="https://other.example/cds-services/x"),
        "unknown-issuer": token(url, iss="https://evil.example"),
        "foreign-key": jwt.encode({**claims, "jti": "f"}, other, algorithm="ES384", headers={"kid": "e"}),
        "embedded-jwk": jwt.encode(
            {**claims, "jti": "j"},
            other,
            algorithm="ES384",
            headers={"jwk": ECAlgorithm.to_jwk(other.public_key(), as_dict=True)},
        ),
        "kid-with-a-path": jwt.encode(
            {**claims, "jti": "p"}, other, algorithm="ES384", headers={"kid": "../../e"}
        ),
        "kid-with-sql": jwt.encode(
            {**claims, "jti": "s"}, other, algorithm="ES384", headers={"kid": "' OR 1=1"}
        ),
        "not-a-token": "a.b.c",
        "empty": "",
    }


def test_no_bad_token_is_taken(signed: str) -> None:
    """D11, security.md 5.3 rows 21 to 26."""
    url = f"{signed}/cds-services/fhir-twin-patient-view"
    body = hook("patient-view", ARTHUR, prefetch=full_prefetch(ARTHUR))
    for name, held in bad_tokens(url).items():
        answer = requests.post(url, json=body, headers={"Authorization": f"Bearer {held}"}, timeout=30)
        assert answer.status_code == 401, name
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert ARTHUR not in answer.text
        assert answer.json()["resourceType"] == "OperationOutcome"
    assert requests.post(url, json=body, timeout=30).status_code == 401


def test_a_token_is_used_once(signed: str) -> None:
    url = f"{signed}/cds-services/fhir-twin-patient-view"
    body = hook("patient-view", ARTHUR, prefetch=full_prefetch(ARTHUR))
    headers = {"Authorization": f"Bearer {token(url)}"}
    assert requests.post(url, json=body, headers=headers, timeout=60).status_code == 200
    assert requests.post(url, json=body, headers=headers, timeout=60).status_code == 401


# --- the call ----------------------------------------------------------------------------------------


def test_malformed_calls_are_4xx(signed: str, post: Post) -> None:
    """CH-2, D13."""
    good = hook("patient-view", ARTHUR, prefetch=full_prefetch(ARTHUR))
    context = good["context"]
    bad = [
        {**good, "hook": "order-sign"},
        {k: v for k, v in good.items() if k != "hook"},
        {k: v for k, v in good.items() if k != "hookInstance"},
        {**good, "context": None},
        {**good, "context": {**context, "patientId": ""}},
        {**good, "context": {**context, "patientId": "../x"}},
        {**good, "context": {**context, "patientId": ["a"]}},
        {**good, "context": {"patientId": ARTHUR}},
        {**good, "prefetch": []},
        {**good, "fhirAuthorization": "x"},
        {**good, "fhirServer": 7},
        [],
        "x",
    ]
    for body in bad:
        answer = post("/fhir-twin-patient-view", body)
        assert answer.status_code == 400, (body, answer.text)
        assert answer.json()["resourceType"] == "OperationOutcome"
    assert post("/none-such", good).status_code == 404
    url = f"{signed}/cds-services/fhir-twin-patient-view"
    for data, kind, status in (
        (b"{}", "text/plain", 415),
        (b"{", "application/json", 400),
        (b" " * 17_000_000, "application/json", 413),
        (b'{"hook":"a","hook":"b"}', "application/json", 400),
    ):
        headers = {"Authorization": f"Bearer {token(url)}", "Content-Type": kind}
        assert requests.post(url, data=data, headers=headers, timeout=60).status_code == status
    orders = sign(ARTHUR, order("d1", ARTHUR, "aspirin 75 mg"))
    del orders["context"]["draftOrders"]
    assert post("/fhir-twin-order-sign", orders).status_code == 400
    unselected = sign(ARTHUR, order("d1", ARTHUR, "aspirin 75 mg"), name="order-select")
    assert post("/fhir-twin-order-select", unselected).status_code == 400
    foreign = sign(ARTHUR, order("d1", MARIA, "aspirin 75 mg"))
    assert post("/fhir-twin-order-sign", foreign).status_code == 400


@pytest.mark.parametrize(
    "server",
    [
        "http://169.254.169.254/",
        *(f"http://{h}/fhir" for h in ("127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0", "[::1]")),
        "http://evil.example/fhir",
        "file:///etc/passwd",
        "{base}/../admin",
        "{base}%2f..%2f",
        "{base}@evil.example",
    ],
)
def test_an_unregistered_server_is_never_called(post: Post, peer: Ehr, server: str) -> None:
    """D12, CH-9, security.md 5.3 rows 1 to 4."""
    before = len(peer.seen)
    access = {
        "access_token": "cds-token",
        "token_type": "Bearer",
        "expires_in": 60,
        "scope": "patient/*.rs",
        "subject": "s",
    }
    body = hook("patient-view", ARTHUR, fhirServer=server.format(base=peer.base), fhirAuthorization=access)
    assert post("/fhir-twin-patient-view", body).status_code == 400
    assert len(peer.seen) == before


def test_a_client_speaks_for_its_own_server_only(post: Post) -> None:
    """security.md 5.3 row 8."""
    body = hook(
        "patient-view", ARTHUR, fhirServer="https://other.example/fhir", prefetch=full_prefetch(ARTHUR)
    )
    assert post("/fhir-twin-patient-view", body).status_code == 401


# --- data --------------------------------------------------------------------------------------------


def authorised(peer: Ehr, scope: str | None = "patient/*.rs", **more: Any) -> dict[str, Any]:
    access = {
        "access_token": "cds-token",
        "token_type": "bearer",
        "expires_in": 60,
        "subject": "twin",
        **more,
    }
    return {"fhirServer": peer.base, "fhirAuthorization": {**access, **({"scope": scope} if scope else {})}}


def test_without_data_it_is_412(post: Post) -> None:
    """CH-6, D4: never an empty answer."""
    empty = post("/fhir-twin-patient-view", hook("patient-view", ARTHUR))
    assert empty.status_code == 412
    assert empty.json()["resourceType"] == "OperationOutcome"
    for key in ("patient", "observations", "conditions", "medications", "allergies"):
        for value in ("absent", {"resourceType": "OperationOutcome", "issue": []}):
            prefetch = full_prefetch(ARTHUR)
            if value == "absent":
                del prefetch[key]
            else:
                prefetch[key] = value
            answer = post("/fhir-twin-patient-view", hook("patient-view", ARTHUR, prefetch=prefetch))
            assert answer.status_code == 412, key


def test_null_means_nothing_there(post: Post) -> None:
    """CH-5: looked for, no data."""
    prefetch = {**full_prefetch(ARTHUR), "allergies": None, "medications": None}
    cards = check_cards(post("/fhir-twin-patient-view", hook("patient-view", ARTHUR, prefetch=prefetch)))
    assert not [c for c in cards if c["source"]["topic"]["code"] == "incomplete-record"]


def test_missing_parts_are_fetched_with_the_given_token(post: Post, peer: Ehr) -> None:
    """CH-5, CH-9, D4."""
    for prefetch in ({}, {k: v for k, v in full_prefetch(MARIA).items() if k != "allergies"}):
        before = len(peer.seen)
        body = hook("patient-view", MARIA, prefetch=prefetch, **authorised(peer))
        assert check_cards(post("/fhir-twin-patient-view", body))
        calls = [f for _, p, f in peer.seen[before:] if p != "/fhir/metadata"]
        assert calls
        assert all(f["_authorization"] == "Bearer cds-token" for f in calls)
    answered = post(
        "/fhir-twin-patient-view",
        hook("patient-view", MARIA, prefetch=full_prefetch(MARIA), **authorised(peer)),
    )
    assert check_cards(answered)


def test_a_page_that_is_not_all_is_read_to_its_end_or_said(post: Post, peer: Ehr) -> None:
    """CH-5: a first page is not the record."""
    prefetch = full_prefetch(ARTHUR)
    first = prefetch["observations"]
    first["total"] = len(first["entry"])
    first["entry"] = first["entry"][:3]
    first["link"] = [{"relation": "next", "url": "https://evil.example/page2"}]
    said = check_cards(post("/fhir-twin-patient-view", hook("patient-view", ARTHUR, prefetch=prefetch)))
    gaps = [c for c in said if c["source"]["topic"]["code"] == "incomplete-record"]
    assert len(gaps) == 1
    assert "Observation" in gaps[0]["summary"]
    whole = hook("patient-view", ARTHUR, prefetch=prefetch, **authorised(peer))
    cards = check_cards(post("/fhir-twin-patient-view", whole))
    assert not [c for c in cards if c["source"]["topic"]["code"] == "incomplete-record"]


FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}


@pytest.mark.parametrize("entry", [5, "x", [5], [None], [{}], [{"resource": 5}], [{"resource": FAILED}]])
def test_entries_that_cannot_be_read_are_not_nothing(post: Post, peer: Ehr, entry: Any) -> None:
    """CH-5: alone they are 412, and with access the type is read again."""
    broken = {"resourceType": "Bundle", "type": "searchset", "entry": entry}
    prefetch = {**full_prefetch(ARTHUR), "allergies": broken}
    body = hook("patient-view", ARTHUR, prefetch=prefetch)
    answer = post("/fhir-twin-patient-view", body)
    assert answer.status_code == 412, answer.text
    assert "AllergyIntolerance" in answer.text
    assert check_cards(post("/fhir-twin-patient-view", {**body, **authorised(peer)}))
    later = {**full_prefetch(ARTHUR), "goals": broken}
    said = check_cards(post("/fhir-twin-patient-view", hook("patient-view", ARTHUR, prefetch=later)))
    assert [c for c in said if c["source"]["topic"]["code"] == "incomplete-record"]


@pytest.mark.parametrize("link", [5, True, "next", {"relation": "next"}, [None, 5]])
def test_links_of_another_shape_are_no_fault_of_ours(post: Post, link: Any) -> None:
    prefetch = full_prefetch(ARTHUR)
    prefetch["observations"]["link"] = link
    check_cards(post("/fhir-twin-patient-view", hook("patient-view", ARTHUR, prefetch=prefetch)))


def test_scopes_that_do_not_reach_are_412_or_said(post: Post, peer: Ehr) -> None:
    """SC-4: what is not granted is not asked for and never counts as empty."""
    narrow = "patient/Patient.r patient/Observation.rs patient/Condition.rs"
    body = hook("patient-view", MARIA, **authorised(peer, narrow))
    assert post("/fhir-twin-patient-view", body).status_code == 412
    enough = narrow + " patient/MedicationRequest.rs patient/AllergyIntolerance.read"
    cards = check_cards(
        post("/fhir-twin-patient-view", hook("patient-view", MARIA, **authorised(peer, enough)))
    )
    assert [c for c in cards if c["source"]["topic"]["code"] == "incomplete-record"]
    unsaid = hook("patient-view", MARIA, **authorised(peer, None))
    assert check_cards(post("/fhir-twin-patient-view", unsaid))


def test_a_token_that_is_refused_is_412_not_401(post: Post, peer: Ehr) -> None:
    body = hook("patient-view", MARIA, **authorised(peer, access_token="expired"))
    answer = post("/fhir-twin-patient-view", body)
    assert answer.status_code == 412, answer.text


def test_what_was_prefetched_stands_when_the_rest_cannot_be_fetched(post: Post, peer: Ehr) -> None:
    """The advice rests on what was sent, and says what is missing."""
    prefetch = {k: v for k, v in full_prefetch(MARIA).items() if k not in ("goals", "family")}
    body = hook("patient-view", MARIA, prefetch=prefetch, **authorised(peer, access_token="expired"))
    cards = check_cards(post("/fhir-twin-patient-view", body))
    [gap] = [c for c in cards if c["source"]["topic"]["code"] == "incomplete-record"]
    assert "FamilyMemberHistory" in gap["summary"]
    assert gap["indicator"] == "warning", "it was tried, and failed"
    quiet = check_cards(post("/fhir-twin-patient-view", hook("patient-view", MARIA, prefetch=prefetch)))
    [never_sent] = [c for c in quiet if c["source"]["topic"]["code"] == "incomplete-record"]
    assert never_sent["indicator"] == "info"
    assert "draft-plan" in {c["source"]["topic"]["code"] for c in cards}
    prefetch["observations"]["link"] = [{"relation": "next", "url": "Observation?page=2"}]
    part = authorised(peer, "patient/Patient.r patient/Goal.rs patient/FamilyMemberHistory.rs")
    cut = hook("patient-view", MARIA, prefetch=prefetch, **part)
    told = check_cards(post("/fhir-twin-patient-view", cut))
    [gap] = [c for c in told if c["source"]["topic"]["code"] == "incomplete-record"]
    assert "Observation" in gap["summary"]


def test_another_patients_data_are_refused(post: Post, peer: Ehr) -> None:
    """SS-6, security.md 5.3 row 20, 41."""
    wrong = {**full_prefetch(ARTHUR), "patient": full_prefetch(MARIA)["patient"]}
    mixed = {**full_prefetch(ARTHUR), "observations": full_prefetch(MARIA)["observations"]}
    for prefetch in (wrong, mixed):
        assert (
            post("/fhir-twin-patient-view", hook("patient-view", ARTHUR, prefetch=prefetch)).status_code
            == 403
        )
    body = hook("patient-view", ARTHUR, prefetch=full_prefetch(ARTHUR), **authorised(peer, patient=MARIA))
    assert post("/fhir-twin-patient-view", body).status_code == 403


# --- cards -------------------------------------------------------------------------------------------


def test_every_patients_cards_keep_the_promises(post: Post) -> None:
    """D5 to D9."""
    for name in NAMES:
        cards = check_cards(
            post("/fhir-twin-patient-view", hook("patient-view", name, prefetch=full_prefetch(name)))
        )
        assert cards, name
        if name == MINOR:
            assert "younger than 18" in cards[0]["summary"]
    grace = check_cards(
        post("/fhir-twin-patient-view", hook("patient-view", GRACE, prefetch=full_prefetch(GRACE)))
    )
    assert grace[0]["indicator"] == "critical"  # pregnant and on an ACE inhibitor


def test_order_sign_judges_the_draft_itself(post: Post) -> None:
    """Contraindication, interaction, duplicate, kidney dose, better alternative, unknown drug: each is said."""
    timing = {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}
    amount = {"value": 1000, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
    twice = [{"text": "twice daily", "timing": timing, "doseAndRate": [{"doseQuantity": amount}]}]
    body = sign(
        MARIA,
        order("d1", MARIA, "metformin 1000 mg tablet", dosageInstruction=twice),
        order("d2", MARIA, "clarithromycin 500 mg"),
        order("d3", MARIA, "zorgle 5 mg"),
    )
    cards = check_cards(post("/fhir-twin-order-sign", body))
    kinds = {c["source"]["topic"]["code"] for c in cards}
    assert {"dose", "interaction", "duplicate", "unknown"} <= kinds
    assert cards[0]["indicator"] == "critical"
    deletes = [
        a for c in cards for s in c.get("suggestions", []) for a in s["actions"] if a["type"] == "delete"
    ]
    assert deletes
    pregnant = check_cards(post("/fhir-twin-order-sign", sign(GRACE, order("d1", GRACE, "enalapril 5 mg"))))
    assert pregnant[0]["indicator"] == "critical"
    assert pregnant[0]["source"]["topic"]["code"] == "contraindicated"


def test_order_select_judges_what_was_selected(post: Post) -> None:
    drafts = (order("d1", GRACE, "enalapril 5 mg"), order("d2", GRACE, "paracetamol 500 mg"))
    none = sign(GRACE, *drafts, name="order-select", selections=["MedicationRequest/d2"])
    assert not [c for c in check_cards(post("/fhir-twin-order-select", none)) if c["indicator"] == "critical"]
    one = sign(GRACE, *drafts, name="order-select", selections=["MedicationRequest/d1"])
    assert check_cards(post("/fhir-twin-order-select", one))[0]["indicator"] == "critical"


def test_orders_named_by_their_address_or_not_at_all_are_judged(post: Post) -> None:
    """An id only in fullUrl; a selection that fits no draft: nothing is missed."""
    unnamed = {k: v for k, v in order("x", GRACE, "enalapril 5 mg").items() if k != "id"}
    for address, selection in (
        ("https://ehr.example/fhir/MedicationRequest/77", "MedicationRequest/77"),
        ("urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8", "MedicationRequest/elsewhere"),
    ):
        body = sign(GRACE, unnamed, name="order-select", selections=[selection])
        body["context"]["draftOrders"]["entry"][0]["fullUrl"] = address
        assert check_cards(post("/fhir-twin-order-select", body))[0]["indicator"] == "critical"
    absolute = sign(GRACE, order("d", GRACE, "enalapril 5 mg"))
    absolute["context"]["userId"] = "https://ehr.example/fhir/Practitioner/9"
    assert check_cards(post("/fhir-twin-order-sign", absolute))


def test_a_drug_that_is_only_referred_to_is_fetched(post: Post, peer: Ehr) -> None:
    peer.put({"resourceType": "Medication", "id": "enalapril-5", "code": {"text": "enalapril 5 mg"}})
    drug = order("d1", GRACE, "")
    del drug["medicationCodeableConcept"]
    drug["medicationReference"] = {"reference": "Medication/enalapril-5"}
    cards = check_cards(post("/fhir-twin-order-sign", {**sign(GRACE, drug), **authorised(peer)}))
    assert cards[0]["indicator"] == "critical"
    blind = check_cards(post("/fhir-twin-order-sign", sign(GRACE, drug)))
    assert [c for c in blind if c["source"]["topic"]["code"] == "unknown"], "what cannot be seen is said"


def test_an_order_not_to_give_a_drug_is_no_order_of_it(post: Post) -> None:
    stop = order("d1", GRACE, "lisinopril 10 mg", doNotPerform=True)
    assert check_cards(post("/fhir-twin-order-sign", sign(GRACE, stop))) == []


def test_every_call_leaves_a_trace_or_is_refused(
    tmp_path: Path, stocked_sandbox: str, all_knowledge: Knowledge
) -> None:
    """SS-7, AU-5: who asked about whom; when the audit cannot be written, nothing is shown."""
    notes: list[AuditNote] = []
    broken = False

    def audit(note: AuditNote) -> None:
        if broken:
            raise StoreError("disk full")
        notes.append(note)

    settings = load_settings({"server": stocked_sandbox, "cache": str(tmp_path)}, {})
    service = open_service(settings, all_knowledge)
    client = create_app(service, settings).test_client()
    service.audit = audit
    path, good = (
        "/cds-services/fhir-twin-patient-view",
        hook("patient-view", ARTHUR, prefetch=full_prefetch(ARTHUR)),
    )
    assert client.post(path, json=good).status_code == 200
    assert client.post(path, json=hook("patient-view", MARIA)).status_code == 412
    wait_until(lambda: len(notes) == 2)
    assert [(n.patient, n.outcome, n.detail) for n in notes] == [
        (ARTHUR, "0", "patient-view"),
        (MARIA, "4", "patient-view"),
    ]
    broken = True
    client.post(path, json=good)
    wait_until(lambda: client.post(path, json=good).status_code == 500)
    broken = False
    wait_until(lambda: client.post(path, json=good).status_code == 200)
    assert len(notes) >= 3, "what could not be written then is written now"


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_better_alternative_takes_the_draft_out(post: Post) -> None:
    cards = check_cards(post("/fhir-twin-order-sign", sign(ARTHUR, order("d1", ARTHUR, "lisinopril 10 mg"))))
    [better] = [c for c in cards if c["source"]["topic"]["code"] == "better"]
    types = [a["type"] for a in better["suggestions"][0]["actions"]]
    assert types == ["delete", "create"]
    assert better["suggestions"][0]["actions"][1]["resource"]["intent"] == "order"  # as the drafts (CR-4)


def test_orders_that_cannot_be_judged_are_said(post: Post) -> None:
    cards = check_cards(post("/fhir-twin-order-sign", sign(MINOR, order("d1", MINOR, "ibuprofen 200 mg"))))
    assert "not checked" in cards[0]["summary"]


def service(id_: str, text: str, type_: str = "ServiceRequest") -> dict[str, Any]:
    return {"resourceType": type_, "id": id_, "status": "draft", "intent": "order", "code": {"text": text}}


def test_orders_that_are_no_drugs_are_judged_or_said_not_to_be(post: Post) -> None:
    """CH-3, D5: never an empty answer that looks like "all is well"."""
    device = {"resourceType": "DeviceRequest", "id": "w1", "codeCodeableConcept": {"text": "Walking frame"}}
    orders = (service("s1", "CT abdomen with contrast"), service("s2", "Complete blood count"), device)
    cards = check_cards(post("/fhir-twin-order-sign", sign(MARIA, *orders)))
    topics = {c["source"]["topic"]["code"]: c for c in cards}
    assert "metformin" in topics["interaction"]["summary"].lower()
    assert topics["interaction"]["indicator"] == "warning"
    silent = topics["not-judged"]
    assert silent["indicator"] == "info"
    assert "Complete blood count, Walking frame" in silent["summary"]
    assert "CT abdomen" not in silent["summary"]
    # A selection of one of them; an order that forbids; what is done too recently can be taken out by one click.
    one = sign(MARIA, *orders, name="order-select", selections=["DeviceRequest/w1"])
    [only] = check_cards(post("/fhir-twin-order-select", one))
    assert only["summary"] == "Not judged: Walking frame"
    assert check_cards(post("/fhir-twin-order-sign", sign(MARIA, {**orders[1], "doNotPerform": True}))) == []
    feedback = answer_card(only, "overridden")
    assert post("/fhir-twin-order-select/feedback", feedback).status_code == 200
    assert check_cards(post("/fhir-twin-order-select", one)) == [], "told, and answered for these orders"


@pytest.mark.parametrize("type_", [None, 7, ["ServiceRequest"], {}])
def test_a_draft_without_a_type_is_refused_not_overlooked(post: Post, type_: Any) -> None:
    """D13: what cannot be told apart is 400; nothing is left out in silence."""
    typeless = {**service("s1", "Complete blood count"), "resourceType": type_}
    body = sign(MARIA, order("d1", MARIA, "clarithromycin 500 mg"), typeless)
    assert post("/fhir-twin-order-sign", body).status_code == 400


@pytest.mark.parametrize(
    "more",
    [
        {"code": None},
        {"code": "CT"},
        {"code": {"coding": 3}},
        {"code": {"coding": [{"code": "x" * 5000}]}},
        {"orderDetail": [[]]},
    ],
)
def test_odd_orders_are_said_not_to_be_judged(post: Post, more: dict[str, Any]) -> None:
    body = sign(MARIA, {**service("s1", ""), **more})
    [card] = check_cards(post("/fhir-twin-order-sign", body))
    assert card["source"]["topic"]["code"] == "not-judged"


def test_a_repeat_can_be_taken_out(post: Post) -> None:
    body = sign(ARTHUR, service("s1", "Hemoglobin A1c"))
    value = {"value": 5.6, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}
    code = {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]}
    when = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 10 * 86_400))
    new = {
        "resourceType": "Observation",
        "id": "new-hba1c",
        "status": "final",
        "subject": {"reference": f"Patient/{ARTHUR}"},
        "code": code,
        "effectiveDateTime": when,
        "valueQuantity": value,
    }
    bundle = body["prefetch"]["observations"]
    bundle["entry"].append({"resource": new})
    bundle["total"] += 1
    [card] = check_cards(post("/fhir-twin-order-sign", body))
    assert card["source"]["topic"]["code"] == "repeat"
    [suggestion] = card["suggestions"]
    assert suggestion["actions"] == [
        {
            "type": "delete",
            "description": "Take out the draft order of Hemoglobin A1c",
            "resourceId": "ServiceRequest/s1",
        }
    ]


def test_hostile_text_stays_text(post: Post) -> None:
    """security.md 5.3 rows 45, 46: no HTML, no link, no mark-up from the record."""
    evil = (
        "[click](javascript:alert(1)) <img src=x onerror=alert(1)> ![x](https://evil.example/p.png) \u202e"
        + "A" * 300
    )
    cards = check_cards(post("/fhir-twin-order-sign", sign(ARTHUR, order("d1", ARTHUR, evil))))
    text = json.dumps(cards)
    assert "](javascript" not in text
    assert "](https" not in text
    assert "\\u202e" not in text


# --- what a site may switch on -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def generous(
    tmp_path_factory: pytest.TempPathFactory, stocked_sandbox: str, all_knowledge: Knowledge
) -> Iterator[str]:
    """A service that offers whole plans and asks for notes of its checks."""
    folder = tmp_path_factory.mktemp("generous")
    file = folder / "servers.toml"
    file.write_text("[cds]\nunsigned = true\nwhole_plan = true\nrecord_checks = true\n", "utf-8")
    options = {"cache": str(folder / "cache"), "servers_file": str(file)}
    with serving(stocked_sandbox, all_knowledge, **options) as base:
        yield base


def test_the_whole_plan_as_one_suggestion(generous: str, post: Post) -> None:
    """D7, CR-3, CR-4: one create, valid, nothing that leads nowhere; only where it is switched on."""
    body = hook("patient-view", ARTHUR, prefetch=full_prefetch(ARTHUR))
    answer = requests.post(f"{generous}/cds-services/fhir-twin-patient-view", json=body, timeout=60)
    plan = next(c for c in check_cards(answer) if c["source"]["topic"]["code"] == "draft-plan")
    whole = plan["suggestions"][-1]
    [action] = whole["actions"]
    care_plan = action["resource"]
    assert care_plan["resourceType"] == "CarePlan"
    assert care_plan["intent"] == "proposal"
    held = {f"#{r['id']}" for r in care_plan["contained"]}
    assert {a["reference"]["reference"] for a in care_plan["activity"]} <= held
    assert [s.get("isRecommended", False) for s in plan["suggestions"]].count(True) == 1
    assert plan["suggestions"][0]["isRecommended"]
    without = check_cards(post("/fhir-twin-patient-view", {**body, "hookInstance": str(uuid.uuid4())}))
    kinds = {
        a["resource"]["resourceType"] for c in without for s in c.get("suggestions", []) for a in s["actions"]
    }
    assert "CarePlan" not in kinds


def test_a_note_of_the_check_as_a_system_action(generous: str, post: Post) -> None:
    """CR-1: off by default; where it is on, order-sign asks for one GuidanceResponse and never touches an order."""
    drafts = sign(
        MARIA, order("d1", MARIA, "clarithromycin 500 mg"), service("s1", "Walking aid"), encounterId="e1"
    )
    told = requests.post(f"{generous}/cds-services/fhir-twin-order-sign", json=drafts, timeout=60).json()
    [action] = told["systemActions"]
    assert (action["type"], bool(action["description"])) == ("create", True)
    note = action["resource"]
    assert note["resourceType"] == "GuidanceResponse"
    assert validate_resource(note) == ()
    assert note["requestIdentifier"]["value"] == drafts["hookInstance"]
    assert note["encounter"] == {"reference": "Encounter/e1"}
    assert "MedicationRequest/d1, ServiceRequest/s1" in note["note"][0]["text"]
    assert len(note["note"]) == 1 + len(told["cards"])
    empty = sign(MARIA, name="order-sign")
    assert (
        "systemActions"
        not in requests.post(f"{generous}/cds-services/fhir-twin-order-sign", json=empty, timeout=60).json()
    )
    select = {**drafts, "hook": "order-select"}
    select["context"] = {**drafts["context"], "selections": ["MedicationRequest/d1"]}
    assert (
        "systemActions"
        not in requests.post(
            f"{generous}/cds-services/fhir-twin-order-select", json=select, timeout=60
        ).json()
    )
    assert "systemActions" not in post("/fhir-twin-order-sign", drafts).json()


# --- links, feedback ---------------------------------------------------------------------------------


def test_the_launch_reads_the_cards_context_back(post: Post, peer: Ehr, signed: str) -> None:
    """CR-5, D8: opaque on the way, and only for the patient it was made for."""
    body = hook("patient-view", ARTHUR, prefetch=full_prefetch(ARTHUR), fhirServer=peer.base)
    cards = check_cards(post("/fhir-twin-patient-view", body))
    link = next(c["links"][0] for c in cards if "links" in c)
    assert ARTHUR not in json.dumps(link)
    peer.quirks.extra = {"appContext": link["appContext"]}
    try:
        for patient, expected in ((ARTHUR, "patient-view"), (MARIA, None)):
            browser = requests.Session()
            begun = browser.get(
                link["url"], params={"iss": peer.base, "launch": peer.launch(patient)}, timeout=60,
                headers={"Accept": "text/html"}, allow_redirects=False,
            )  # fmt: skip
            callback = browser.get(begun.headers["Location"], allow_redirects=False, timeout=30)
            landed = browser.get(callback.headers["Location"], allow_redirects=False, timeout=60)
            about = browser.get(f"{signed}{landed.headers['Location']}session.json", timeout=30).json()
            assert about["app_context"].get("hook") == expected
            page = browser.get(
                f"{signed}{landed.headers['Location']}", headers={"Accept": "text/html"}, timeout=60
            )
            assert ("Opened from a card" in page.text) == (expected is not None)
            assert ('href="#p-statin"' in page.text) or expected is None
    finally:
        peer.quirks.extra = {}


def answer_card(card: dict[str, Any], outcome: str, **more: Any) -> dict[str, Any]:
    stamp = "2026-11-28T10:00:00Z"
    return {"feedback": [{"card": card["uuid"], "outcome": outcome, "outcomeTimestamp": stamp, **more}]}


def test_feedback_is_stored_once_and_heeded(post: Post) -> None:
    """CF-1, D10, CR-6: overridden advice is not said again; accepted suggestions neither."""
    body = sign(MARIA, order("d1", MARIA, "clarithromycin 500 mg"))
    cards = check_cards(post("/fhir-twin-order-sign", body))
    critical = next(c for c in cards if c["indicator"] == "critical")
    reason = {"reason": critical["overrideReasons"][0], "userComment": "Zyxquin knows"}
    told = answer_card(critical, "overridden", overrideReason=reason)
    first = post("/fhir-twin-order-sign/feedback", told)
    again = post("/fhir-twin-order-sign/feedback", told)
    assert (first.json(), again.json()) == ({"received": 1, "new": 1}, {"received": 1, "new": 0})
    after = check_cards(post("/fhir-twin-order-sign", body))
    assert critical["summary"] not in [c["summary"] for c in after]
    view = hook("patient-view", MARIA, prefetch=full_prefetch(MARIA))
    plan = next(
        c
        for c in check_cards(post("/fhir-twin-patient-view", view))
        if c["source"]["topic"]["code"] == "draft-plan"
    )
    chosen = plan["suggestions"][0]
    accepted = answer_card(plan, "accepted", acceptedSuggestions=[{"id": chosen["uuid"]}])
    assert post("/fhir-twin-patient-view/feedback", accepted).status_code == 200
    later = check_cards(post("/fhir-twin-patient-view", view))
    labels = [s["label"] for c in later for s in c.get("suggestions", [])]
    assert chosen["label"] not in labels
    assert plan["suggestions"][1]["label"] in labels


def test_odd_feedback(post: Post) -> None:
    """CF-1: an unknown card is accepted; what cannot be read is 400."""
    unknown = answer_card({"uuid": str(uuid.uuid4())}, "overridden")
    assert post("/fhir-twin-patient-view/feedback", unknown).status_code == 200
    for bad in (
        {},
        {"feedback": []},
        {"feedback": [{"card": "x"}]},
        answer_card({"uuid": "x"}, "liked"),
        answer_card({"uuid": "x"}, "accepted"),
        {"feedback": [{"card": "x", "outcome": "overridden", "outcomeTimestamp": "yesterday"}]},
    ):
        assert post("/fhir-twin-patient-view/feedback", bad).status_code == 400
    assert post("/none-such/feedback", unknown).status_code == 404


def test_on_loopback_with_nothing_registered_it_is_open(open_service_url: str) -> None:
    """The demo: as /api is open there."""
    url = f"{open_service_url}/cds-services/fhir-twin-patient-view"
    body = hook("patient-view", ARTHUR, prefetch=full_prefetch(ARTHUR))
    here = {"Origin": "http://localhost:3000"}
    answer = requests.post(url, json=body, headers=here, timeout=60)
    assert check_cards(answer)
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    there = requests.options(url, headers={"Origin": "https://evil.example"}, timeout=30)
    assert "Access-Control-Allow-Origin" not in there.headers


def test_the_services_own_server_may_be_named(open_service_url: str, stocked_sandbox: str) -> None:
    """A sandbox beside us, on the same open FHIR server: nothing prefetched, no token."""
    url = f"{open_service_url}/cds-services/fhir-twin-patient-view"
    body = hook("patient-view", MARIA, fhirServer=stocked_sandbox + "/")
    cards = check_cards(requests.post(url, json=body, timeout=60))
    assert all("links" not in c for c in cards), "nobody can log in there"
    other = hook("patient-view", MARIA, fhirServer="http://127.0.0.1:1/fhir", prefetch=full_prefetch(MARIA))
    assert requests.post(url, json=other, timeout=60).status_code == 400


def test_ten_at_once_are_answered_alike(post: Post) -> None:
    body = hook("patient-view", NAMES[3], prefetch=full_prefetch(NAMES[3]))
    answers: list[requests.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(post("/fhir-twin-patient-view", body)))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    summaries = {tuple(c["summary"] for c in check_cards(a)) for a in answers}
    assert len(answers) == 10
    assert len(summaries) == 1


@pytest.mark.parametrize(
    "entry", [5, "x", {}, [5], [None], [{}], [{"resource": None}], [{"fullUrl": "urn:x"}]]
)
def test_drafts_that_cannot_be_read_are_never_an_empty_answer(post: Post, entry: Any) -> None:
    body = sign(ARTHUR)
    body["context"]["draftOrders"]["entry"] = entry
    assert post("/fhir-twin-order-sign", body).status_code == 400


def test_no_draft_hides_another_of_the_same_id(post: Post) -> None:
    """An order without an id gets one that no other has; two of one id are refused, unless they are the same."""
    known, unknown = order("draft-2", ARTHUR, "lisinopril 10 mg"), order("x", ARTHUR, "Foobarium")
    del unknown["id"]
    said = check_cards(post("/fhir-twin-order-sign", sign(ARTHUR, known, unknown)))
    assert any("not recognised" in c["summary"] for c in said)
    both = sign(ARTHUR, known, {**unknown, "id": "draft-2"})
    assert post("/fhir-twin-order-sign", both).status_code == 400
    assert post("/fhir-twin-order-sign", sign(ARTHUR, known, known)).status_code == 200
    other_type = {**service("draft-2", "Complete blood count"), "subject": known["subject"]}
    assert post("/fhir-twin-order-sign", sign(ARTHUR, known, other_type)).status_code == 200


@pytest.mark.parametrize(("type_", "element"), [("NutritionOrder", "patient"), ("Task", "for")])
def test_a_draft_names_its_patient_in_its_own_element(post: Post, type_: str, element: str) -> None:
    about = {"resourceType": type_, "id": "n1", "status": "draft", "intent": "order"}
    for patient, status in ((ARTHUR, 200), (MARIA, 400)):
        body = sign(ARTHUR, {**about, element: {"reference": f"Patient/{patient}"}})
        assert post("/fhir-twin-order-sign", body).status_code == status

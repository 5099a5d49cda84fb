"""The FHIR face for patients over a real socket (FA-1 to FA-7, OP-2, OP-6, AS-1, AS-2, rows 20 to 26, 48, 63, 64)."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.serving import make_server

from fhir_twin.fhir.validate import validate_resource
from fhir_twin.fhir.xml import from_xml, to_xml
from fhir_twin.knowledge import Knowledge
from fhir_twin.sandbox.stories import stories
from fhir_twin.settings import load_settings
from fhir_twin.storage.store import open_store
from fhir_twin.web import create_app
from fhir_twin.web.capability import capability_statement
from fhir_twin.web.facade_made import TYPES
from fhir_twin.wiring import open_service

PATIENT, OTHER = stories()[0][0], stories()[1][0]
AUDIENCE = "https://twin.example/fhir"


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with contextlib.closing(server.socket):
        yield f"http://127.0.0.1:{server.server_port}/fhir"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["memory", "store"])
def base(
    request: pytest.FixtureRequest,
    stocked_sandbox: str,
    all_knowledge: Knowledge,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    settings = load_settings({"server": stocked_sandbox}, {})
    store = open_store(str(tmp_path_factory.mktemp("s") / "store.db")) if request.param == "store" else None
    with serving(create_app(open_service(settings, all_knowledge), settings, store=store)) as url:
        yield url
    if store is not None:
        store.close()


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=60)


def post(url: str, body: dict[str, Any] | None = None, **headers: str) -> requests.Response:
    return requests.post(url, json=body, headers=headers, timeout=60)


def parameters(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(rows)}


def outcome(answer: requests.Response) -> dict[str, Any]:
    found = answer.json()
    assert found["resourceType"] == "OperationOutcome"
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    return dict(found["issue"][0])


def faults(resource: dict[str, Any]) -> list[str]:
    """R4 faults; an absolute subject is right here: the patient lives on another server. The model library knows no
    mime types as codes."""
    found = [
        i for i in validate_resource(resource) if not i.expression.startswith("CapabilityStatement.format")
    ]
    return [i.diagnostics for i in found if i.diagnostics != "not a relative reference"]


def test_the_capability_statement_says_what_is_there(base: str) -> None:
    """FA-1, FA-2, OP-6."""
    statement = get(f"{base}/metadata").json()
    assert faults(statement) == []
    rest = statement["rest"][0]
    assert {r["type"] for r in rest["resource"]} >= {*TYPES, "Patient", "PlanDefinition"}
    assert len({r["type"] for r in rest["resource"]}) == len(rest["resource"])
    for row in next(r for r in rest["resource"] if r["type"] == "Patient")["operation"]:
        definition = get(f"{base}/OperationDefinition/{row['definition'].rpartition('/')[2]}").json()
        assert (definition["url"], definition["code"]) == (row["definition"], row["name"])
        assert faults(definition) == []


def test_what_was_made_is_searched_read_and_valid(base: str) -> None:
    for type_ in TYPES:
        found = get(f"{base}/{type_}?patient={PATIENT}").json()
        assert found["type"] == "searchset"
        for entry in (e for e in found.get("entry", ()) if e["search"]["mode"] == "match"):
            assert faults(entry["resource"]) == [], type_
            assert get(entry["fullUrl"]).json() == entry["resource"]
    plan = get(f"{base}/CarePlan?subject=Patient/{PATIENT}").json()["entry"][0]["resource"]
    goal = plan["goal"][0]["reference"]
    assert get(f"{base}/{goal}").json()["id"] == goal.partition("/")[2]
    assert plan["subject"]["reference"].endswith(f"/Patient/{PATIENT}")


def test_pages_total_and_self_link(base: str) -> None:
    """FA-7."""
    seen: list[str] = []
    url = f"{base}/RiskAssessment?patient={PATIENT}&_count=3&nonsense=1"
    while url:
        page = get(url).json()
        matches = [e for e in page["entry"] if e["search"]["mode"] == "match"]
        seen += [e["resource"]["id"] for e in matches]
        links = {link["relation"]: link["url"] for link in page["link"]}
        assert "nonsense" not in links["self"]
        url = links.get("next", "")
    assert len(seen) == len(set(seen)) == page["total"]
    assert get(f"{base}/RiskAssessment?patient={PATIENT}&_summary=count").json().get("entry") is None


def test_unknown_parameters_by_handling(base: str) -> None:
    """FA-4."""
    strict = get(f"{base}/CarePlan?patient={PATIENT}&nonsense=1", Prefer="handling=strict")
    assert (strict.status_code, outcome(strict)["code"]) == (400, "invalid")
    lenient = get(f"{base}/CarePlan?patient={PATIENT}&nonsense=1").json()
    assert [e["search"]["mode"] for e in lenient["entry"]] == ["match", "outcome"]


def test_filters(base: str) -> None:
    plan = get(f"{base}/CarePlan?patient={PATIENT}").json()["entry"][0]["resource"]
    number = plan["identifier"][0]
    yes = (
        f"identifier={number['system']}|{number['value']}",
        f"_id={plan['id']},x",
        "_lastUpdated=ge2020",
        "status=draft",
    )
    no = ("identifier=x|y", "_id=x", "_lastUpdated=lt2020-05", "status=active", "intent=order")
    for query, total in [(q, 1) for q in yes] + [(q, 0) for q in no]:
        assert get(f"{base}/CarePlan?patient={PATIENT}&{query}").json()["total"] == total, query
    form = requests.post(f"{base}/CarePlan/_search", data={"patient": PATIENT}, timeout=60)
    assert form.json()["total"] == 1


def test_versions_etags_and_dates(base: str) -> None:
    """FA-3; a plan made again with the same content keeps its version."""
    on_a_day = parameters({"name": "asOf", "valueDateTime": "2026-11-01"})
    plans = [post(f"{base}/Patient/{PATIENT}/$plan", on_a_day).json() for _ in range(2)]
    url = plans[0]["entry"][0]["fullUrl"]
    assert plans[0]["entry"][0]["resource"] == get(url).json()
    assert plans[0]["entry"] == plans[1]["entry"]
    first = get(url)
    tag = first.headers["ETag"]
    assert get(url, **{"If-None-Match": tag}).status_code == 304
    version = first.json()["meta"]["versionId"]
    assert tag == f'W/"{version}"'
    assert get(f"{url}/_history/{version}").status_code == 200
    assert get(f"{url}/_history/99").status_code == 404
    assert "GMT" in first.headers["Last-Modified"]


def test_xml_in_and_out(base: str) -> None:
    """FA-3, E13."""
    plan = get(f"{base}/CarePlan?patient={PATIENT}&_format=xml")
    assert plan.headers["Content-Type"].startswith("application/fhir+xml")
    assert from_xml(plan.content)["total"] == 1
    body = to_xml(parameters({"name": "biomarker", "valueCode": "sbp"}))
    head = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+xml"}
    answer = requests.post(f"{base}/Patient/{PATIENT}/$twin", data=body, headers=head, timeout=60)
    assert [p["name"] for p in from_xml(answer.content)["parameter"]][:2] == ["asOf", "biomarker"]
    wrong = get(f"{base}/CarePlan/none?_format=xml")
    assert (wrong.status_code, from_xml(wrong.content)["resourceType"]) == (404, "OperationOutcome")
    assert get(f"{base}/CarePlan?patient={PATIENT}", Accept="image/png").status_code == 406
    assert (
        get(f"{base}/CarePlan?patient={PATIENT}", Accept="application/fhir+json; fhirVersion=5.0").status_code
        == 406
    )


def test_twin_and_simulate(base: str) -> None:
    twin = get(f"{base}/Patient/{PATIENT}/$twin?biomarker=sbp&asOf=2026-11-01").json()
    assert faults(twin) == []
    [row] = [p for p in twin["parameter"] if p["name"] == "biomarker"]
    parts = {p["name"]: p for p in row["part"]}
    assert parts["low"]["valueQuantity"]["value"] < parts["value"]["valueQuantity"]["value"]
    choice = {"name": "choice", "part": [{"name": "intervention", "valueCode": "ace-inhibitor"}]}
    answer = post(
        f"{base}/Patient/{PATIENT}/$simulate", parameters(choice, {"name": "horizonYears", "valueDecimal": 5})
    )
    assert faults(answer.json()) == []
    scenarios = [p for p in answer.json()["parameter"] if p["name"] == "scenario"]
    assert len(scenarios) == 2
    assert any(p["name"] == "change" for p in scenarios[1]["part"])


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        (({"name": "horizonYears", "valueDecimal": 1e9},), 400),
        (({"name": "choice", "part": [{"name": "intervention", "valueCode": "x"}]},), 400),
        (({"name": "choice", "part": [{"name": "steps", "valueInteger": 1000000000}]},), 400),
        (({"name": "choice"},), 400),
        (({"name": "choice", "valueString": "statin"},), 400),
        (({"name": "unknown", "valueString": "x"},), 400),
        (({"name": "asOf", "valueDateTime": "yesterday"},), 400),
        (tuple({"name": "choice", "part": []} for _ in range(200)), 400),
    ],
)
def test_bad_simulations_are_refused(base: str, rows: tuple[dict[str, Any], ...], status: int) -> None:
    """Row 64: limits are stated, nothing runs for ever."""
    answer = post(f"{base}/Patient/{PATIENT}/$simulate", parameters(*rows))
    assert (answer.status_code, outcome(answer)["severity"]) == (status, "error")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/Patient/{}/$simulate", 405),
        ("GET", "/Patient/{}/$nothing", 404),
        ("GET", "/Patient/none/$twin", 404),
        ("GET", "/Patient/a%2F..%2Fb/$twin", 404),
        ("GET", "/Patient/{}'%20OR%201=1/$twin", 400),
        ("GET", "/CarePlan?patient=../../x", 400),
        ("GET", "/CarePlan?_count=-1", 400),
        ("GET", "/CarePlan?_lastUpdated=yesterday", 400),
        ("GET", "/CarePlan?_format=../../", 406),
        ("GET", "/CarePlan/%2e%2e%2fPatient", 404),
        ("POST", "/CarePlan", 405),
        ("PUT", "/CarePlan/1", 405),
        ("DELETE", "/CarePlan/1", 405),
        ("GET", "/Nothing", 404),
        ("GET", "/$status/none", 404),
    ],
)
def test_errors_are_outcomes(base: str, method: str, path: str, status: int) -> None:
    """FA-5, FA-6, row 63."""
    answer = requests.request(method, base + path.replace("{}", PATIENT), timeout=60)
    assert (answer.status_code, outcome(answer)["severity"]) == (status, "error")


def test_asynchronous_answers(base: str) -> None:
    """AS-1, AS-2."""
    begun = post(f"{base}/Patient/{PATIENT}/$plan", Prefer="respond-async")
    assert begun.status_code == 202
    url = begun.headers["Content-Location"]
    assert url.startswith(base)
    for _ in range(200):
        answer = get(url)
        if answer.status_code != 202:
            break
        assert (answer.headers["X-Progress"], answer.headers["Retry-After"]) == ("being worked on", "1")
        time.sleep(0.05)
    assert (answer.status_code, answer.json()["resourceType"]) == (200, "Bundle")
    assert requests.delete(url, timeout=10).status_code == 202
    assert get(url).status_code == 404
    failed = get(f"{base}/Patient/none/$twin", Prefer="respond-async").headers["Content-Location"]
    while (answer := get(failed)).status_code == 202:
        time.sleep(0.05)
    assert (answer.status_code, outcome(answer)["code"]) == (404, "not-found")


@pytest.mark.parametrize("head", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_page_of_another_site_cannot_make_it_write(base: str, head: dict[str, str]) -> None:
    """An open loopback has no key that a hostile page would lack."""
    root = base.removesuffix("/fhir")
    for url in (
        f"{base}/Patient/{PATIENT}/$plan?persist=true",
        f"{root}/api/patients/{PATIENT}/run",
        f"{root}/hl7v2",
    ):
        answer = requests.post(url, headers={"Content-Type": "text/plain", **head}, timeout=30)
        assert (answer.status_code, outcome(answer)["code"]) == (403, "forbidden")
    own = {"Origin": root, "Sec-Fetch-Site": "same-origin"}
    assert requests.post(f"{base}/Patient/{PATIENT}/$plan", headers=own, timeout=60).status_code == 200


def test_prefer_return(base: str) -> None:
    minimal = post(f"{base}/Patient/{PATIENT}/$plan", Prefer="return=minimal")
    assert (minimal.status_code, minimal.text) == (204, "")
    told = post(f"{base}/Patient/{PATIENT}/$plan", Prefer="return=OperationOutcome").json()
    assert told["issue"][0]["code"] == "informational"


# --- access --------------------------------------------------------------------------------------------


class Issuer:
    """Keys and an introspection endpoint on a real socket."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP384R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        keys = {"keys": [{**public, "kid": "k1", "use": "sig", "alg": "ES384"}]}
        known = {
            "opaque-1": {
                "active": True,
                "scope": "patient/*.rs",
                "patient": PATIENT,
                "exp": time.time() + 300,
            }
        }
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(keys)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                asked.append(body)
                token = dict(p.split("=") for p in body.split("&"))["token"]
                self._send(known.get(token, {"active": False}))

            def _send(self, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(
        self, *, head: dict[str, Any] | None = None, algorithm: str = "ES384", key: Any = None, **claims: Any
    ) -> str:
        now = int(time.time())
        body = {
            "iss": self.base,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 300,
            "scope": "patient/*.rs",
            "patient": PATIENT,
        }
        body = {k: v for k, v in {**body, **claims}.items() if v is not None}
        return jwt.encode(body, key or self.key, algorithm=algorithm, headers={"kid": "k1", **(head or {})})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def guarded(
    stocked_sandbox: str, all_knowledge: Knowledge, issuer: Issuer, heard: list[Any]
) -> Iterator[str]:
    settings = load_settings(
        {
            "server": stocked_sandbox, "host": "0.0.0.0", "api_key": "engine-key", "facade": "on",
            "token_jwks": f"{issuer.base}/jwks", "token_issuer": issuer.base, "token_audience": AUDIENCE,
            "introspection_url": f"{issuer.base}/introspect", "introspection_client": "me", "introspection_secret": "s",
        },
        {},
    )  # fmt: skip
    service = open_service(settings, all_knowledge)
    service.audit = heard.append
    with serving(create_app(service, settings)) as url:
        yield url


@pytest.fixture(scope="module")
def heard() -> list[Any]:
    """The audit's events."""
    return []


def ask(url: str, token: str) -> requests.Response:
    return get(url, Authorization=f"Bearer {token}")


def test_a_token_of_one_patient_sees_that_patient_only(guarded: str, issuer: Issuer) -> None:
    """Row 20."""
    for token in (issuer.token(), "opaque-1"):
        assert ask(f"{guarded}/CarePlan?patient={PATIENT}", token).json()["total"] == 1
        assert ask(f"{guarded}/CarePlan", token).json()["total"] == 1
        assert ask(f"{guarded}/CarePlan?patient={OTHER}", token).status_code == 403
        assert ask(f"{guarded}/Patient/{OTHER}/$twin", token).status_code == 403
        assert ask(f"{guarded}/PlanDefinition/$apply?subject=Patient/{OTHER}", token).status_code == 403
    everything = get(f"{guarded}/CarePlan?patient={OTHER}", **{"X-API-Key": "engine-key"}).json()
    other = everything["entry"][0]["resource"]["id"]
    assert ask(f"{guarded}/CarePlan/{other}", issuer.token()).status_code == 403
    begun = post(f"{guarded}/Patient/{OTHER}/$plan", Prefer="respond-async", **{"X-API-Key": "engine-key"})
    assert ask(begun.headers["Content-Location"], issuer.token()).status_code == 404


def test_every_access_leaves_a_trace(guarded: str, issuer: Issuer, heard: list[Any]) -> None:
    """AU-5, row 20: reads, searches, operations and denials; no value, no token."""
    heard.clear()
    plan = ask(f"{guarded}/CarePlan?patient={PATIENT}", issuer.token()).json()["entry"][0]["resource"]["id"]
    ask(f"{guarded}/CarePlan/{plan}", issuer.token())
    ask(f"{guarded}/Patient/{OTHER}/$twin", issuer.token())
    told = [(n.what, n.patient, n.outcome) for n in heard if n.detail in ("FHIR face", "denied")]
    assert told == [("search", PATIENT, "0"), ("read", PATIENT, "0"), ("read", OTHER, "4")]


def test_scopes_are_obeyed(guarded: str, issuer: Issuer) -> None:
    assert ask(f"{guarded}/CarePlan", issuer.token(scope="user/*.rs", patient=None)).status_code == 403
    assert (
        ask(f"{guarded}/CarePlan?patient={OTHER}", issuer.token(scope="user/*.rs", patient=None)).status_code
        == 200
    )
    assert ask(f"{guarded}/CarePlan", issuer.token(scope="system/*.rs", patient=None)).status_code == 200
    narrow = issuer.token(scope="patient/Goal.rs")
    assert ask(f"{guarded}/Goal?patient={PATIENT}", narrow).status_code == 200
    assert ask(f"{guarded}/CarePlan?patient={PATIENT}", narrow).status_code == 403
    body = parameters({"name": "persist", "valueBoolean": True})
    head = {"Authorization": f"Bearer {issuer.token()}"}
    assert post(f"{guarded}/Patient/{PATIENT}/$plan", body, **head).status_code == 403


def test_tokens_that_are_not_what_they_should_be(guarded: str, issuer: Issuer) -> None:
    """Rows 21, 22, 23, 26."""
    now = int(time.time())
    other = ec.generate_private_key(ec.SECP384R1())
    none = jwt.encode(
        {"iss": issuer.base, "aud": AUDIENCE, "iat": now, "exp": now + 60, "scope": "system/*.rs"}, "", "none"
    )
    bad = [
        issuer.token(exp=None), issuer.token(exp=now - 120), issuer.token(exp=now + 10 * 365 * 86400),
        issuer.token(iat=now + 3600, exp=now + 3700), issuer.token(aud=AUDIENCE + "/"), issuer.token(iss="https://evil"),
        issuer.token(aud=None), issuer.token(key=other), issuer.token(head={"kid": "../../etc"}),
        issuer.token(head={"kid": "' OR 1=1"}), issuer.token(key=other, head={"jku": "https://evil/jwks", "kid": "x"}),
        none, "opaque-unknown", "", "a.b.c", issuer.token(patient=None),
        jwt.encode({"iss": issuer.base, "aud": AUDIENCE, "iat": now, "exp": now + 60}, "x" * 64, "HS384"),
    ]  # fmt: skip
    for token in bad:
        answer = ask(f"{guarded}/CarePlan?patient={PATIENT}", token)
        assert (answer.status_code, outcome(answer)["code"]) == (401, "login"), token
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert not token or token not in answer.text


def test_the_face_is_off_off_loopback_until_it_is_switched_on(
    stocked_sandbox: str, all_knowledge: Knowledge
) -> None:
    for wish, status in (("auto", 404), ("off", 404), ("on", 200)):
        settings = load_settings(
            {"server": stocked_sandbox, "host": "0.0.0.0", "api_key": "k", "facade": wish}, {}
        )
        client = create_app(open_service(settings, all_knowledge), settings).test_client()
        answer = client.get(f"/fhir/CarePlan?patient={PATIENT}", headers={"X-API-Key": "k"})
        assert answer.status_code == status
        assert client.get("/fhir/metadata").status_code == 200


def test_the_statement_names_every_search_parameter_once() -> None:
    """cpb-12."""
    for row in capability_statement("https://x")["rest"][0]["resource"]:
        names = [p["name"] for p in row.get("searchParam", ())]
        assert len(names) == len(set(names))


def test_nothing_is_kept_in_the_working_folder(tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []

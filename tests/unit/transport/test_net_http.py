"""Bad servers on a raw socket: issue 3 "Bad input", performance.md 4.6, security.md 5.3 rows 5, 48, 51, 55."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fhir_twin.errors import (
    Forbidden,
    InvalidInput,
    LoginRequired,
    NotFound,
    Throttled,
    TooCostly,
    TwinError,
    UpstreamError,
    UpstreamTimeout,
)
from fhir_twin.transport.answers import resource_of
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import HttpClient, Limits
from fhir_twin.transport.login import basic, bearer, token_file
from fhir_twin.transport.retry import RetryPolicy

PATIENT = {"resourceType": "Patient", "id": "p1"}
CANARY = "Canary-Zebediah-1931"


def test_one_get(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(200, PATIENT))
    answer = client.request("GET", "Patient/p1", headers={"Accept": "application/fhir+json"})
    assert (answer.status, json.loads(answer.body)) == (200, PATIENT)
    assert stub.requests[0].target == "/fhir/Patient/p1"
    assert stub.requests[0].headers["accept"] == "application/fhir+json"


# --- retries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_survived_and_told(
    stub: Any, client: Any, tools: Any, clock: Any, status: int
) -> None:
    stub.answers(tools.reply(status), tools.reply(200, PATIENT))
    answer = client.request("GET", "Patient/p1")
    assert answer.status == 200 and answer.tries == 2 and len(stub.requests) == 2
    assert len(clock.sleeps) >= 1 and clock.sleeps[0] > 0
    assert [w.status for w in client.waits] == [status]
    assert client.total.retries == 1 and client.total.seconds_waiting > 0


@pytest.mark.parametrize(
    ("header", "waited"),
    [
        ("3", 3.0),
        ("99999", 300.0),
        ("Tue, 14 Nov 2023 22:13:25 GMT", 5.0),
        ("1700000009", 9.0),
        ("soon", 0.375),
        ("-10", 0.375),
    ],
)
def test_retry_after(stub: Any, tools: Any, clock: Any, header: str, waited: float) -> None:
    """F3: honoured, capped at 5 minutes; garbage and negative numbers fall back to the backoff."""
    stub.answers(tools.reply(429, headers={"Retry-After": header}), tools.reply(200, PATIENT))
    client = tools.make_client(stub, clock)
    assert client.request("GET", "Patient/p1").status == 200
    assert clock.sleeps[0] == pytest.approx(waited)


def test_absurd_retry_after_ends_with_a_clear_message(stub: Any, tools: Any, clock: Any) -> None:
    stub.answers(tools.reply(429, headers={"Retry-After": "86400"}))
    client = tools.make_client(stub, clock, retry=RetryPolicy(budget=100))
    with pytest.raises(Throttled) as caught:
        FhirServer(client).capability()
    assert caught.value.http_status == 429 and "86400 s" in caught.value.message
    assert clock.sleeps == [] and len(stub.requests) == 1


def test_the_budget_bounds_all_waiting_of_a_call(stub: Any, tools: Any, clock: Any) -> None:
    stub.answers(tools.reply(503, headers={"Retry-After": "40"}))
    client = tools.make_client(stub, clock, retry=RetryPolicy(attempts=50, budget=100))
    answer = client.request("GET", "Patient/p1")
    assert answer.status == 503 and answer.waited <= 100 and len(stub.requests) == 3


def test_all_threads_pause_when_the_server_asks(stub: Any, tools: Any, clock: Any) -> None:
    stub.answers(tools.reply(429, headers={"Retry-After": "20"}), tools.reply(200, PATIENT))
    client = tools.make_client(stub, clock)
    client.request("GET", "Patient/p1")
    assert clock.seconds == pytest.approx(20)
    client._pace.hold(7)
    client.request("GET", "Patient/p1")
    assert clock.seconds == pytest.approx(27)


def test_rate_limit(stub: Any, tools: Any, clock: Any) -> None:
    stub.answers(tools.reply(200, PATIENT))
    client = tools.make_client(stub, clock, rate=4.0)
    for _ in range(9):
        client.request("GET", "Patient/p1")
    assert clock.seconds == pytest.approx(2.0)


def test_a_storm_of_500_is_not_hammered(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(500))
    assert client.request("GET", "Patient/p1").status == 500
    assert len(stub.requests) == 2


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_plain_post_is_sent_once(stub: Any, client: Any, tools: Any, status: int) -> None:
    stub.answers(tools.reply(status))
    with pytest.raises(TwinError):
        FhirServer(client).create(PATIENT)
    assert len(stub.requests) == 1


def test_a_conditional_post_is_repeated(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(503), tools.reply(201, PATIENT))
    assert FhirServer(client).create(PATIENT, if_none_exist="identifier=a|b")["id"] == "p1"
    assert [r.headers["if-none-exist"] for r in stub.requests] == ["identifier=a|b"] * 2


# --- broken answers --------------------------------------------------------------------------------

CUT = b'HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 500\r\n\r\n{"resourceType": "Pat'


def test_a_cut_body_is_tried_again(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(CUT, tools.reply(200, PATIENT))
    assert client.request("GET", "Patient/p1").status == 200


def test_a_body_that_is_always_cut_is_an_error(stub: Any, client: Any) -> None:
    stub.answers(CUT)
    with pytest.raises(UpstreamError, match="incomplete"):
        client.request("GET", "Patient/p1")


def test_a_cut_answer_to_a_write_is_an_unknown_outcome(stub: Any, client: Any) -> None:
    stub.answers(CUT)
    with pytest.raises(UpstreamError):
        FhirServer(client).update(PATIENT, if_match="3")
    assert len(stub.requests) == 1


def test_cut_without_a_length_is_no_json(stub: Any, client: Any) -> None:
    stub.answers(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"resourceType": "Pat')
    with pytest.raises(UpstreamError, match="not valid JSON"):
        FhirServer(client).read("Patient", "p1")


def test_a_length_that_is_too_short_is_no_json(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(200, PATIENT, length=10))
    with pytest.raises(UpstreamError, match="not valid JSON"):
        FhirServer(client).read("Patient", "p1")


def test_cut_chunks(stub: Any, client: Any, tools: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    stub.answers(head + b'20\r\n{"resourceType"', tools.reply(200, PATIENT))
    assert client.request("GET", "Patient/p1").body == json.dumps(PATIENT).encode()


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"<html><body>Please log in</body></html>", "text/html", "HTML page"),
        (b"<!DOCTYPE html><p>x", "application/fhir+json", "HTML page"),
        (b"<Patient xmlns='http://hl7.org/fhir'/>", "application/fhir+xml", "XML"),
        (b"", "application/fhir+json", "empty body"),
        (b"[1, 2]", "application/fhir+json", "no FHIR resource"),
        (b'{"resourceType": ["Patient"]}', "application/fhir+json", "no FHIR resource"),
        (b'{"a": NaN}', "application/fhir+json", "not valid JSON"),
        (b"[" * 100_000, "application/fhir+json", "not valid JSON"),
        (b'{"a": "\xff"}', "application/fhir+json", "not valid JSON"),
    ],
)
def test_what_is_no_fhir(stub: Any, client: Any, tools: Any, body: bytes, kind: str, words: str) -> None:
    stub.answers(tools.reply(200, body, kind=kind))
    with pytest.raises(UpstreamError, match=words) as caught:
        FhirServer(client).read("Patient", "p1")
    assert caught.value.http_status == 200


def test_html_502_after_retries(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(502, b"<html>" + CANARY.encode() + b"</html>", kind="text/html"))
    with pytest.raises(UpstreamError) as caught:
        FhirServer(client).read("Patient", "p1")
    message = caught.value.message
    assert "502" in message and "HTML" in message and "tries" in message and CANARY not in message


def test_a_byte_order_mark_and_decimal_digits(stub: Any, client: Any, tools: Any) -> None:
    """MDL-6: 7.10 stays 7.10."""
    stub.answers(tools.reply(200, b'\xef\xbb\xbf{"resourceType": "Observation", "v": 7.10, "w": 3}'))
    found = resource_of(client.request("GET", "Observation/1"), "reading")
    assert str(found["v"]) == "7.10" and found["w"] == 3


# --- time and size ---------------------------------------------------------------------------------


def test_slow_drip_meets_the_total_deadline(stub: Any, tools: Any, elapsed: Any) -> None:
    def drip() -> Any:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        while True:
            yield b" "
            yield 0.02

    stub.handler = lambda _: drip()
    client = HttpClient(stub.base, limits=Limits(read=5, total=0.3))
    with pytest.raises(UpstreamTimeout, match="did not finish"):
        client.request("GET", "Patient/p1")
    assert elapsed() < 3 and len(stub.requests) == 1
    client.close()


def test_headers_that_drip_meet_the_deadline_too(stub: Any, elapsed: Any) -> None:
    """A byte now and then keeps a socket timeout from ever firing."""

    def drip() -> Any:
        yield b"HTTP/1.1 200 OK\r\nX-Slow: "
        while True:
            yield b"y"
            yield 0.02

    stub.handler = lambda _: drip()
    client = HttpClient(stub.base, limits=Limits(read=5, total=0.3), retry=RetryPolicy(attempts=0))
    with pytest.raises(UpstreamTimeout):
        client.request("GET", "Patient/p1")
    assert elapsed() < 3
    client.close()


def test_no_answer_at_all_is_a_timeout(stub: Any, tools: Any, clock: Any) -> None:
    stub.handler = lambda _: [1.5]
    client = tools.make_client(stub, clock, limits=Limits(read=0.1), retry=RetryPolicy(attempts=1))
    with pytest.raises(UpstreamTimeout, match="2 tries"):
        client.request("GET", "Patient/p1")
    client.close()


def test_after_a_silence_nothing_is_tried_again_where_somebody_waits(stub: Any, tools: Any) -> None:
    """RetryPolicy.within; a quick refusal is still tried again."""
    patience = {
        "limits": Limits(read=0.3, total=0.3),
        "retry": RetryPolicy(attempts=3, within=0.3, first_wait=0.01),
    }
    stub.handler = lambda _: [1.5]
    with HttpClient(stub.base, **patience) as client, pytest.raises(UpstreamError):
        client.request("GET", "Patient/p1")
    assert len(stub.requests) == 1
    answers = iter([tools.reply(503), tools.reply(200, PATIENT)])
    stub.handler = lambda _: next(answers)
    with HttpClient(stub.base, **patience) as client:
        assert client.request("GET", "Patient/p1").status == 200


def test_too_large(stub: Any, tools: Any, clock: Any) -> None:
    stub.answers(tools.reply(200, b" " * 50_000))
    client = tools.make_client(stub, clock, limits=Limits(max_bytes=10_000))
    with pytest.raises(TooCostly, match="10000 bytes"):
        client.request("GET", "Patient/p1")
    client.close()


def test_gzip_bomb_is_stopped_while_unpacking(stub: Any, tools: Any, clock: Any) -> None:
    """Row 51: 100 MB in half a MB; memory must not grow by the whole of it."""
    import tracemalloc

    bomb = gzip.compress(b"\0" * 100_000_000, 1)
    stub.answers(tools.reply(200, bomb, headers={"Content-Encoding": "gzip"}))
    client = tools.make_client(stub, clock, limits=Limits(max_bytes=20_000_000))
    tracemalloc.start()
    with pytest.raises(TooCostly):
        client.request("GET", "Patient/p1")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64_000_000
    client.close()


def test_gzip_is_unpacked(stub: Any, client: Any, tools: Any) -> None:
    body = gzip.compress(json.dumps(PATIENT).encode())
    stub.answers(tools.reply(200, body, headers={"Content-Encoding": "gzip"}))
    assert json.loads(client.request("GET", "Patient/p1").body) == PATIENT
    assert "gzip" in stub.requests[0].headers["accept-encoding"]


def test_broken_gzip(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(200, b"this is not gzip", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(UpstreamError):
        client.request("GET", "Patient/p1")


def test_twenty_thousand_headers(stub: Any, client: Any) -> None:
    stub.answers(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n")
    with pytest.raises(UpstreamError):
        client.request("GET", "Patient/p1")


def test_unreachable(clock: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}/fhir", sleep=clock.sleep, clock=clock, random=lambda: 0.5)
    with pytest.raises(UpstreamError, match="no connection") as caught:
        client.request("GET", f"Patient?name={CANARY}")
    assert CANARY not in caught.value.message and len(clock.sleeps) >= 4


def test_https_to_a_server_that_speaks_http(clock: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def refuse() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        client = HttpClient(f"https://127.0.0.1:{plain.getsockname()[1]}/fhir", sleep=clock.sleep)
        with client, pytest.raises(UpstreamError, match="https at all"):
            client.request("GET", "metadata")
        thread.join(5)
    assert clock.sleeps == []


def test_a_certificate_nobody_vouches_for(clock: Any, tmp_path: Path) -> None:
    """Said at once, not retried, and never switched off."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    made = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]
    made += ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    body = b'{"resourceType": "Patient", "id": "p1"}'

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        base = f"https://127.0.0.1:{server.server_port}/fhir"
        with HttpClient(base, sleep=clock.sleep) as client, pytest.raises(UpstreamError, match="certificate"):
            client.request("GET", "Patient/p1")
        with HttpClient(base, ca_bundle=tmp_path / "cert.pem", sleep=clock.sleep) as client:
            assert client.request("GET", "Patient/p1").body == body
        server.shutdown()
    assert clock.sleeps == []


def test_unknown_host(clock: Any) -> None:
    client = HttpClient("http://no-such-host.invalid/fhir", sleep=clock.sleep, clock=clock)
    with pytest.raises(UpstreamError, match="no connection"):
        client.request("GET", "metadata")


def test_a_forked_worker_opens_connections_of_its_own(stub: Any, client: Any, tools: Any) -> None:
    """gunicorn with preload_app: two processes on one socket would read each other's answers."""
    client.request("GET", "Patient/p1")
    first = client._session()
    client._process = -1
    assert client._session() is not first and client._session() is client._session()
    first.close()


# --- redirects and tokens --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_elsewhere_is_not_followed(stub: Any, tools: Any, clock: Any, status: int) -> None:
    """Row 5: the token never leaves."""
    other = socket.create_server(("127.0.0.1", 0))
    other.settimeout(0.2)
    where = f"http://127.0.0.1:{other.getsockname()[1]}/fhir/Patient/p1"
    stub.answers(tools.reply(status, headers={"Location": where}))
    client = tools.make_client(stub, clock, authorization=bearer("secret"))
    with pytest.raises(UpstreamError, match="redirect"):
        client.request("GET", "Patient/p1")
    with pytest.raises(TimeoutError):
        other.accept()
    other.close()


def test_a_redirect_on_the_same_origin_is_followed(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(302, headers={"Location": "/fhir/v2/Patient/p1"}), tools.reply(200, PATIENT))
    assert client.request("GET", "Patient/p1").status == 200
    assert stub.requests[1].target == "/fhir/v2/Patient/p1"


def test_redirects_in_a_circle(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(302, headers={"Location": stub.base + "/Patient/p1"}))
    with pytest.raises(UpstreamError, match="circle"):
        client.request("GET", "Patient/p1")


def test_a_write_is_not_redirected(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(307, headers={"Location": "/fhir/other"}))
    with pytest.raises(UpstreamError):
        FhirServer(client).update(PATIENT)
    assert len(stub.requests) == 1


def test_foreign_urls_are_never_called(client: Any, stub: Any) -> None:
    with pytest.raises(Forbidden):
        client.request("GET", "http://127.0.0.1:9/fhir/Patient/p1")
    assert stub.requests == []


def test_a_token_is_renewed_once(stub: Any, tools: Any, clock: Any) -> None:
    asked: list[bool] = []

    def token(renew: bool) -> str:
        asked.append(renew)
        return "new" if renew else "old"

    stub.answers(tools.reply(401), tools.reply(200, PATIENT))
    client = tools.make_client(stub, clock, authorization=bearer(token))
    assert client.request("GET", "Patient/p1").status == 200
    assert [r.headers["authorization"] for r in stub.requests] == ["Bearer old", "Bearer new"]
    assert asked == [False, True]


def test_a_token_that_stays_refused(stub: Any, tools: Any, clock: Any) -> None:
    stub.answers(tools.reply(401))
    client = tools.make_client(stub, clock, authorization=bearer("secret-token"))
    with pytest.raises(LoginRequired, match="token") as caught:
        FhirServer(client).capability()
    assert "secret-token" not in caught.value.message and len(stub.requests) == 2


def test_basic_and_token_file(stub: Any, tools: Any, clock: Any, tmp_path: Path) -> None:
    stub.answers(tools.reply(200, PATIENT))
    tools.make_client(stub, clock, authorization=basic("me", "pä:ss")).request("GET", "Patient/p1")
    assert stub.requests[0].headers["authorization"] == "Basic bWU6cMOkOnNz"
    path = tmp_path / "token"
    path.write_text("abc\n")
    tools.make_client(stub, clock, authorization=token_file(path)).request("GET", "Patient/p1")
    assert stub.requests[1].headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Evil: 1", "ä"])
def test_a_token_cannot_inject_headers(token: str) -> None:
    with pytest.raises(InvalidInput):
        bearer(token)


def test_netrc_does_not_replace_our_login(
    stub: Any, tools: Any, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login evil password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    stub.answers(tools.reply(200, PATIENT))
    tools.make_client(stub, clock, authorization=bearer("ours")).request("GET", "Patient/p1")
    assert stub.requests[0].headers["authorization"] == "Bearer ours"


def test_a_missing_ca_bundle_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="CA bundle"):
        HttpClient("https://fhir.example.org", ca_bundle=tmp_path / "none.pem")


# --- what errors say -------------------------------------------------------------------------------


def _outcome(**issue: Any) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [issue]}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "InvalidInput"), (403, "Forbidden"), (409, "Conflict"), (412, "Conflict"), (422, "InvalidInput"),
     (405, "NotSupported"), (501, "NotSupported"), (413, "TooCostly"), (418, "UpstreamError")],
)  # fmt: skip
def test_errors_by_status(stub: Any, client: Any, tools: Any, status: int, kind: str) -> None:
    """transport.protocols: one class per status; the outcome rides along without its free text."""
    text = f"HAPI-1094: Resource Patient/{CANARY} not found, specified in path"
    outcome = _outcome(severity="error", code="processing", diagnostics=text, expression=["Goal.subject"])
    stub.answers(tools.reply(status, outcome))
    with pytest.raises(TwinError) as caught:
        FhirServer(client).update(PATIENT)
    assert type(caught.value).__name__ == kind
    issue = caught.value.issues[0]
    assert (issue.severity, issue.code, issue.expression) == ("error", "processing", "Goal.subject")
    assert "HAPI-1094" in caught.value.message
    assert CANARY not in caught.value.message + str(caught.value.issues)


def test_read_answers_none_for_404_and_410_but_not_for_a_wrong_address(
    stub: Any, client: Any, tools: Any
) -> None:
    server = FhirServer(client)
    for status in (404, 410):
        stub.answers(tools.reply(status, _outcome(severity="error", code="not-found")))
        assert server.read("Patient", "p1") is None
    stub.answers(tools.reply(404, b"<html>nginx</html>", kind="text/html"))
    with pytest.raises(NotFound, match="base URL"):
        server.read("Patient", "p1")


def test_another_resource_than_asked_for(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(200, {"resourceType": "Patient", "id": "p2"}))
    with pytest.raises(UpstreamError, match="another resource"):
        FhirServer(client).read("Patient", "p1")


@pytest.mark.parametrize("id_", ["../admin", "a/b", "", "x" * 65, "a b", "?x", "..", "a%2fb"])
def test_ids_that_are_none(client: Any, stub: Any, id_: str) -> None:
    with pytest.raises(InvalidInput):
        FhirServer(client).read("Patient", id_)
    assert stub.requests == []

"""The Bulk Data client against a server as servers are (C1 to C8, BU-1 to BU-10, security.md 5.3 rows 13, 49 to 53)."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fhir_twin.cli import main
from fhir_twin.errors import Conflict, Forbidden, InvalidInput, TooCostly, TwinError, UpstreamError
from fhir_twin.fhir.read_manifest import read_manifest
from fhir_twin.transport.bulk_export import BulkExport, BulkRequest
from fhir_twin.transport.bulk_files import look
from fhir_twin.transport.bulk_state import read_state
from fhir_twin.transport.download import Caps, Downloader
from fhir_twin.transport.http import HttpClient, Limits
from fhir_twin.transport.login import bearer
from fhir_twin.transport.retry import RetryPolicy

PATIENTS = b"".join(json.dumps({"resourceType": "Patient", "id": f"p{i}"}).encode() + b"\n" for i in range(5))


class BulkServer:
    """One export job. `script` gives the answers to polls in turn; `files` path -> (body, headers)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.kick_off: list[tuple[int, dict[str, str], bytes]] = []
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        self.files: dict[str, tuple[bytes, dict[str, str]]] = {"/files/1": (PATIENTS, {})}
        self.manifest: dict[str, Any] = {}
        self.fail_once: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                outer.seen.append((self.command, self.path, dict(self.headers)))
                status, headers, answer = outer.answer(self.command, self.path, body)
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_DELETE = _do  # noqa: N815

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.base = f"{self.origin}/fhir"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if "$export" in path:
            return (
                self.kick_off.pop(0)
                if self.kick_off
                else (202, {"Content-Location": f"{self.base}/job/1"}, b"")
            )
        if path == "/fhir/job/1" and method == "DELETE":
            return 202, {}, b""
        if path == "/fhir/job/1":
            if self.script:
                return self.script.pop(0)
            return 200, {"Content-Type": "application/json"}, json.dumps(self.manifest).encode()
        if path in self.fail_once:
            self.fail_once.discard(path)
            return 503, {}, b""
        if path in self.files:
            found, headers = self.files[path]
            return (302 if "Location" in headers else 200), headers, found
        return 404, {}, b""

    def output(self, *rows: dict[str, Any], **more: Any) -> None:
        self.manifest = {
            "transactionTime": "2026-11-01T00:00:00.123+00:00", "request": "x", "requiresAccessToken": True,
            "output": list(rows), "error": [], **more,
        }  # fmt: skip


@pytest.fixture
def server() -> Iterator[BulkServer]:
    made = BulkServer()
    made.output({"type": "Patient", "url": f"{made.origin}/files/1", "count": 5})
    yield made
    made.close()


class Clock:
    def __init__(self) -> None:
        self.waits: list[float] = []


def export(server: BulkServer, folder: Path, clock: Clock | None = None, **how: Any) -> BulkExport:
    clock = clock or Clock()
    client = HttpClient(
        server.base,
        authorization=bearer("secret-token"),
        retry=RetryPolicy(attempts=0),
        limits=Limits(total=20),
    )
    downloader = Downloader(client, **how)
    return BulkExport(client, folder, downloader, sleep=clock.waits.append, random=lambda: 0.5)


def whole(made: BulkExport, request: BulkRequest | None = None) -> None:
    made.start(request or BulkRequest(types=("Patient",)))
    made.wait()
    made.download()


def test_kick_off_poll_download_and_delete(server: BulkServer, tmp_path: Path) -> None:
    made = export(server, tmp_path)
    whole(made)
    made.finish()
    method, path, headers = server.seen[0]
    query = parse_qs(urlsplit(path).query)
    assert (method, urlsplit(path).path) == ("GET", "/fhir/Patient/$export")
    assert query == {"_outputFormat": ["application/fhir+ndjson"], "_type": ["Patient"]}
    assert (headers["Accept"], headers["Prefer"]) == ("application/fhir+json", "respond-async")
    assert server.seen[-1][:2] == ("DELETE", "/fhir/job/1")
    assert made.state is not None
    assert (tmp_path / made.state.files[0].name).read_bytes() == PATIENTS
    assert made.state.time == "2026-11-01T00:00:00.123+00:00"
    assert look(tmp_path, made.state).rows == {"Patient": 5}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("7", 7.0), ("0", 1.0), ("7200", 300.0), ("1700000000000", 300.0), ("nan", 1.5), ("-4", 1.5), ("soon", 1.5),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 300.0), ("", 1.5),
    ],
)  # fmt: skip
def test_retry_after_in_every_form_has_a_floor_and_a_cap(
    server: BulkServer, tmp_path: Path, given: str, seconds: float
) -> None:
    """C2: seconds, HTTP-date; epoch-like, NaN and negative values fall back or are capped."""
    if given == "1700000000000":
        given = "99999999999999"  # an epoch far ahead, in milliseconds
    server.script = [(202, {"X-Progress": "10 %", "Retry-After": given} if given else {}, b"")]
    clock = Clock()
    whole(export(server, tmp_path, clock))
    assert clock.waits == [seconds]


def test_transient_errors_and_html_are_polled_through(server: BulkServer, tmp_path: Path) -> None:
    """C3, and the STU 4 answer 200 while it still runs (BU-9)."""
    transient = b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"transient"}]}'
    server.script = [
        (503, {}, b""), (429, {"Content-Type": "text/html"}, b"<html>slow down</html>"),
        (500, {"Content-Type": "application/fhir+json"}, transient), (200, {"X-Export-Status": "in-progress"}, b""),
    ]  # fmt: skip
    whole(export(server, tmp_path))
    assert server.script == []


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_a_failed_export_says_why(server: BulkServer, tmp_path: Path, status: int) -> None:
    outcome = b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}'
    server.script = [(status, {"Content-Type": "application/fhir+json"}, outcome)] * 2
    made = export(server, tmp_path)
    made.start(BulkRequest())
    with pytest.raises(TwinError) as error:
        made.wait()
    assert [i.code for i in error.value.issues] == ["exception"]


def test_a_job_that_is_gone_can_be_started_anew(server: BulkServer, tmp_path: Path) -> None:
    server.script = [(404, {}, b"")]
    made = export(server, tmp_path)
    made.start(BulkRequest())
    with pytest.raises(UpstreamError, match="start it anew"):
        made.wait()
    whole(export(server, tmp_path))


def test_kick_off_by_post_where_get_is_gone(server: BulkServer, tmp_path: Path) -> None:
    server.kick_off = [(405, {}, b"")]
    whole(export(server, tmp_path), BulkRequest(types=("Patient", "Goal"), since="2026-01-01T00:00:00Z"))
    assert [s[0] for s in server.seen[:2]] == ["GET", "POST"]


def test_a_server_without_since_exports_everything_and_says_so(server: BulkServer, tmp_path: Path) -> None:
    """C8."""
    server.kick_off = [(400, {}, b""), (400, {}, b"")]
    made = export(server, tmp_path)
    whole(made, BulkRequest(since="2026-01-01T00:00:00Z"))
    assert made.state is not None
    assert made.state.since == ""
    with pytest.raises(InvalidInput):
        server.kick_off = [(400, {}, b"")] * 4
        export(server, tmp_path / "other").start(BulkRequest(since="2026-01-01T00:00:00Z"))


def test_deleted_and_error_files_are_read_and_a_bad_line_is_told(server: BulkServer, tmp_path: Path) -> None:
    """C4, C6, BU-6, BU-7; rows 49 and 50."""
    gone = {"resourceType": "Bundle", "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": "Observation/9"}}]}  # fmt: skip
    said = {"resourceType": "OperationOutcome", "issue": [{"severity": "information", "code": "processing"}]}
    good = [b'{"resourceType":"Goal","id":"%d"}' % i for i in (1, 2)]
    lines = b"\xef\xbb\xbf" + good[0] + b'\r\n\n\n{"resourceType":"Goal","id":\n\x00\n' + good[1]
    server.files |= {
        "/files/2": (json.dumps(gone).encode(), {}),
        "/files/3": (json.dumps(said).encode(), {}),
        "/files/4": (lines, {}),
    }
    server.output(
        {"type": "Goal", "url": f"{server.origin}/files/4", "count": 9},
        deleted=[{"type": "Bundle", "url": f"{server.origin}/files/2"}],
        outcome=[{"url": f"{server.origin}/files/3", "countSeverity": {"information": 1}}],
    )
    made = export(server, tmp_path)
    whole(made)
    assert made.state is not None
    found = look(tmp_path, made.state)
    assert found.rows == {"Goal": 2}
    assert (found.bad, found.gone, found.short) == (2, {"Observation/9"}, 1)
    assert found.said == {"information": 1}
    assert any("line[4]" in i.expression for i in found.issues)


def test_the_token_goes_only_where_it_is_asked_for_and_never_to_another_host(
    server: BulkServer, tmp_path: Path
) -> None:
    """C5, BU-5, row 13."""
    whole(export(server, tmp_path / "with"))
    assert server.seen[-1][2]["Authorization"] == "Bearer secret-token"
    server.manifest["requiresAccessToken"] = False
    whole(export(server, tmp_path / "without"))
    assert "Authorization" not in server.seen[-1][2]
    other = BulkServer()
    try:
        server.output({"type": "Patient", "url": f"{other.origin}/files/1"})
        made = export(server, tmp_path / "foreign")
        with pytest.raises(Forbidden):
            whole(made)
        assert other.seen == []
        whole(export(server, tmp_path / "allowed", hosts=frozenset({other.origin})))
        assert "Authorization" not in other.seen[-1][2]
        # A redirect to another host is the same question again.
        server.files["/files/5"] = (b"", {"Location": f"{other.origin}/files/1"})
        server.output({"type": "Patient", "url": f"{server.origin}/files/5"})
        with pytest.raises(Forbidden):
            whole(export(server, tmp_path / "redirect"))
        whole(export(server, tmp_path / "followed", hosts=frozenset({other.origin})))
        assert "Authorization" not in other.seen[-1][2]
    finally:
        other.close()


def test_gzip_is_unpacked_and_a_bomb_is_not(server: BulkServer, tmp_path: Path) -> None:
    """Row 51."""
    server.files["/files/1"] = (gzip.compress(PATIENTS), {"Content-Encoding": "gzip"})
    made = export(server, tmp_path / "good")
    whole(made)
    assert made.state is not None
    assert (tmp_path / "good" / made.state.files[0].name).read_bytes() == PATIENTS
    server.files["/files/1"] = (gzip.compress(b" " * 30_000_000), {"Content-Encoding": "gzip"})
    with pytest.raises(TooCostly):
        whole(export(server, tmp_path / "bomb"))
    server.files["/files/1"] = (PATIENTS, {})
    with pytest.raises(TooCostly):
        whole(export(server, tmp_path / "large", caps=Caps(bytes=50)))


def test_a_file_cut_off_or_failing_is_fetched_again(server: BulkServer, tmp_path: Path) -> None:
    server.fail_once = {"/files/1"}
    whole(export(server, tmp_path))
    server.files["/files/1"] = (PATIENTS[:20], {"Content-Length": str(len(PATIENTS))})
    made = export(server, tmp_path / "cut", caps=Caps(idle=0.3))
    with pytest.raises(UpstreamError, match="can be resumed"):
        whole(made)
    assert not list((tmp_path / "cut").glob("*.ndjson"))


def test_an_interrupted_export_goes_on_from_its_folder(server: BulkServer, tmp_path: Path) -> None:
    """C7: at each step a new process takes up what the former one left."""
    server.files["/files/2"] = (PATIENTS.replace(b"Patient", b"Goal"), {})
    server.output(
        {"type": "Patient", "url": f"{server.origin}/files/1"},
        {"type": "Goal", "url": f"{server.origin}/files/gone"},
    )
    export(server, tmp_path).start(BulkRequest())
    export(server, tmp_path).wait()
    with pytest.raises(TwinError):
        export(server, tmp_path).download()  # one of the two files cannot be had
    server.files["/files/gone"] = server.files["/files/2"]
    before = len(server.seen)
    again = export(server, tmp_path)
    again.download()
    assert [s[1] for s in server.seen[before:]] == ["/files/gone"]  # the other one is there already
    with pytest.raises(Conflict):
        again.start(BulkRequest())  # not finished
    again.finish()
    state = read_state(tmp_path)
    assert state is not None
    assert state.step == "done"


def test_an_empty_export_is_a_success_and_a_paged_manifest_is_read(
    server: BulkServer, tmp_path: Path
) -> None:
    server.output()
    whole(export(server, tmp_path / "empty"))
    page = {"transactionTime": "t", "requiresAccessToken": False,
            "output": [{"type": "Goal", "url": f"{server.origin}/files/2"}]}  # fmt: skip
    server.files |= {"/fhir/page2": (json.dumps(page).encode(), {}), "/files/2": (b"", {})}
    server.output(
        {"type": "Patient", "url": f"{server.origin}/files/1"},
        link=[{"relation": "next", "url": f"{server.base}/page2"}],
    )
    made = export(server, tmp_path / "paged")
    whole(made)
    assert made.state is not None
    assert [f.type for f in made.state.files] == ["Patient", "Goal"]


@pytest.mark.parametrize(
    "body", [None, [], {}, {"transactionTime": "t"}, {"transactionTime": "t", "output": [{"type": "X"}]}]
)
def test_what_is_no_manifest_is_refused(body: Any) -> None:
    with pytest.raises(UpstreamError):
        read_manifest(body)


def test_an_earlier_export_is_brought_up_to_date(
    server: BulkServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """BU-8: what is new replaces, what is deleted goes, the rest stays; the run then reads one folder."""
    assert main(["bulk", "--server", server.base, "--out", str(tmp_path / "a"), "--types", "Patient"]) == 0
    gone = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"request": {"method": "DELETE", "url": "Patient/p0"}}],
    }
    newer = b'{"resourceType":"Patient","id":"p1","gender":"female"}\n'
    server.files |= {"/files/2": (newer, {}), "/files/3": (json.dumps(gone).encode(), {})}
    server.output(
        {"type": "Patient", "url": f"{server.origin}/files/2"},
        deleted=[{"type": "Bundle", "url": f"{server.origin}/files/3"}],
    )
    out = tmp_path / "b"
    assert main(["bulk", "--server", server.base, "--out", str(out), "--after", str(tmp_path / "a")]) == 0
    assert "_since=2026-11-01T00%3A00%3A00.123%2B00%3A00" in server.seen[-5][1] + server.seen[-4][1]
    ids = sorted(
        json.loads(line)["id"]
        for path in out.glob("*output*.ndjson")
        for line in path.read_text().splitlines()
    )
    assert ids == ["p1", "p2", "p3", "p4"]
    assert "3 rows of the earlier export" in capsys.readouterr().err

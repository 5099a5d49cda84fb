"""No PHI leaks from feeds and the FHIR face: planted words go in by HL7 v2 and C-CDA, good and bad, and must not come
out in logs, acknowledgements, refusals, issues, queue reasons or exception texts (security.md 65)."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ccda_documents import document, section
from v2_messages import message

from fhir_twin import log
from fhir_twin.cli import main
from fhir_twin.errors import TwinError
from fhir_twin.intake.ccda import read_ccda
from fhir_twin.intake.reception import Letter, Reception
from fhir_twin.intake.site import Site
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import open_store
from fhir_twin.storage.work import NewWork
from fhir_twin.worker.intake import Intake
from fhir_twin.worker.loop import Bench, Worker

CANARY, NUMBER = "Zyxquin", "777123"
PID = f"PID|1||{NUMBER}^^^{CANARY}^MR||{CANARY}^{CANARY}||1960{NUMBER}|{CANARY}|||{CANARY} street||{NUMBER}"
GOOD = PID.replace(f"1960{NUMBER}|{CANARY}", "19600203|F")
ROWS = (
    f"OBR|1||{NUMBER}|{CANARY}^{CANARY}^{CANARY}|||{CANARY}",
    f"OBX|1|NM|{CANARY}^{CANARY}^L||{CANARY}|{CANARY}|{CANARY}|{CANARY}|||{CANARY}|||{CANARY}",
    f"OBX|2|ED|{CANARY}||^^^Base64^{CANARY}!",
    f"AL1|1|DA||{CANARY}|{CANARY}",
    f"DG1|1||^{CANARY}|{CANARY}|{CANARY}",
    f"NTE|1||{CANARY} \\Z{CANARY}\\ {NUMBER}",
)
MESSAGES = (
    message(PID, *ROWS),
    message(GOOD, *ROWS, number="2"),
    message(GOOD, *ROWS, number="2", sent="20260302"),  # the number again, other content
    message(GOOD, kind="ADT^A40", number="3"),
    message(PID.replace(f"{NUMBER}^^^{CANARY}^MR", f"{NUMBER}^^^{CANARY}^AN"), number="4"),
    message(GOOD, head=f"MSH|^~\\&|{CANARY}|{CANARY}|A|B|{CANARY}||{CANARY}^{CANARY}|{CANARY}|P|2.5"),
    message(GOOD, head=f"MSH|^^{CANARY}|"),
    f"{CANARY} {NUMBER}".encode(),
    message(GOOD, kind=f"ORU^{CANARY}", number=CANARY),
)


def clean(text: str) -> bool:
    return CANARY.lower() not in text.lower() and NUMBER not in text


@pytest.fixture
def heard(capsys: pytest.CaptureFixture[str]) -> Iterator[io.StringIO]:
    """Every log line of the test."""
    stream = io.StringIO()
    with redirect_stderr(stream):
        log.set_up("DEBUG", stream)
        yield stream
    log.set_up("WARNING", sys.stderr)
    del capsys


def test_messages_leave_no_trace_but_the_record(tmp_path: Path, heard: io.StringIO) -> None:
    store = open_store(str(tmp_path / "store.db"))

    def keep(letter: Letter) -> bool:
        assert clean(letter.lane + letter.key + str(letter.meta))
        return store.jobs.accept(
            NewWork(letter.kind, letter.lane, letter.body, letter.key, meta=letter.meta)
        ).duplicate

    door = Reception(keep, Site(), lambda: datetime(2026, 6, 1, tzinfo=UTC))
    for each in MESSAGES:
        for reply in door.hl7v2(each).replies:
            # The header gives the sender's own names and number back, as the standard asks for; nothing else may.
            lines = [line for line in reply.decode().split("\r") if not line.startswith(("MSH", "MSA"))]
            assert clean("\r".join(lines))
    worker = Worker([Bench(store.jobs, Intake(store, Site(), refresh=False).handlers())])
    while worker.step():
        continue
    for row in Desk(store.jobs).rows():
        whole = Desk(store.jobs).row(row.id)
        assert clean(whole.reason + whole.reply.decode() + whole.lane + whole.key + str(whole.meta))
    store.close()
    assert clean(heard.getvalue())


BAD_DOCUMENTS = (
    document().replace(b"DOE", CANARY.encode())[:-30],
    document()
    .replace(b"DOE", CANARY.encode())
    .replace(b'extension="77"', b'extension="%s"' % NUMBER.encode() * 2),
    document("utf-8", section("11450-4", f"<act><{CANARY}/></act>", f"<observation>{CANARY}</observation>")),
    document("utf-8", section(CANARY, "<act/>", text=CANARY)),
    f"<!DOCTYPE {CANARY}><{CANARY}/>".encode(),
)


@pytest.mark.parametrize("body", BAD_DOCUMENTS)
def test_documents_are_refused_or_read_without_quoting(body: bytes, heard: io.StringIO) -> None:
    try:
        issues = read_ccda(body, Site()).issues
    except TwinError as error:
        assert clean(str(error) + repr(error))
        issues = error.issues
    assert clean(" ".join(i.diagnostics + i.expression for i in issues))
    assert clean(heard.getvalue())


def test_convert_tells_without_quoting(tmp_path: Path, heard: io.StringIO) -> None:
    path = tmp_path / "in.hl7"
    path.write_bytes(b"".join(MESSAGES[:5]))
    out = io.StringIO()
    with redirect_stdout(out):
        assert main(["convert", str(path), "--out", str(tmp_path / "out")]) == 1
    assert clean(heard.getvalue() + out.getvalue())
    assert len(list((tmp_path / "out").iterdir())) >= 2

"""SIGKILL of the MLLP listener at random moments: what was acknowledged is in the store, once (H2, H3; promise 1).

FHIR_TWIN_KILLS / 20 kills, 6 by default. The sender does what engines do: whatever has no answer is sent again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from v2_messages import PID, message

from fhir_twin.intake.mllp import Frames
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import open_store

KILLS = max(6, int(os.environ.get("FHIR_TWIN_KILLS", "0")) // 20)
LISTENER = """
import sys
from datetime import UTC, datetime
from fhir_twin.intake.mllp import Listener, Port
from fhir_twin.intake.reception import Reception
from fhir_twin.intake.site import Site
from fhir_twin.storage.store import open_store
from fhir_twin.storage.work import NewWork

store = open_store(sys.argv[1])

def keep(letter):
    return store.jobs.accept(NewWork(letter.kind, letter.lane, letter.body, letter.key)).duplicate

door = Reception(keep, Site(), lambda: datetime.now(UTC))
listener = Listener(Port(), lambda data: door.hl7v2(data).replies)
print(listener.port, flush=True)
listener.run()
"""


def start(path: Path) -> tuple[subprocess.Popen[str], int]:
    child = subprocess.Popen([sys.executable, "-c", LISTENER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def send(port: int, number: str) -> bool:
    """Whether AA came back."""
    body = message(PID, f"NTE|1||{number}", kind="ADT^A08", number=number)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"\x0b" + body + b"\x1c\r")
            frames, data = Frames(10_000), b"x"
            while data:
                data = connection.recv(4096)
                for answer in frames.feed(data):
                    return f"MSA|AA|{number}".encode() in answer
    except OSError:
        return False
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_acknowledged_means_kept_whenever_the_listener_is_killed(tmp_path: Path) -> None:
    path, chance = tmp_path / "store.db", random.Random(7)
    acknowledged: list[str] = []
    number = 0
    for _ in range(KILLS):
        child, port = start(path)
        killer = threading.Timer(chance.uniform(0.05, 0.6), os.kill, (child.pid, signal.SIGKILL))
        killer.start()  # it falls on whatever is under way
        while killer.is_alive():
            if send(port, str(number)):
                acknowledged.append(str(number))
                number += 1
        killer.join()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    store = open_store(str(path))
    bodies = [Desk(store.jobs).row(row.id).body for row in Desk(store.jobs).rows(limit=100_000)]
    kept = [body.split(b"NTE|1||")[1].split(b"\r")[0].decode() for body in bodies]
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    assert len(set(kept) - set(acknowledged)) <= KILLS  # kept, the answer lost with the process
    assert len(acknowledged) > KILLS
    store.close()

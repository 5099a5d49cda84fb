"""kill -9 in the middle of a run, again and again; then the same command finishes it with the same digest."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from population_cohort import END, Ran

KILLS = int(os.environ.get("FHIR_TWIN_POPULATION_KILLS", "3"))


def _command(source: Path, out: Path) -> list[str]:
    return [
        sys.executable, "-m", "fhir_twin", "population", "run", "--input", str(source), "--out", str(out),
        "--as-of", END.isoformat(), "--index", "2024-10-01", "--workers", "2", "--buckets", "6", "--json",
    ]  # fmt: skip


def test_a_killed_run_goes_on_to_the_same_digest(ran: Ran, tmp_path: Path) -> None:
    out, dice = tmp_path / "out", random.Random(4)
    for _ in range(KILLS):
        child = subprocess.Popen(
            _command(ran.source, out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(dice.uniform(0.5, 5.0))
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    done = subprocess.run(_command(ran.source, out), capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(done.stdout)["digest"] == ran.summary.digest
    leftovers = [p for p in out.rglob(".*") if p.is_file()]
    assert all(p.name.startswith(".") for p in leftovers), "drafts are hidden and never read"


def test_workers_do_not_outlive_their_run(ran: Ran, tmp_path: Path) -> None:
    child = subprocess.Popen(
        _command(ran.source, tmp_path / "out"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(3.0)
    child.kill()
    child.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _members(child.pid):
        time.sleep(0.5)
    assert not _members(child.pid)


def _members(session: int) -> list[str]:
    """Processes of the run's session that still work (the fork server ends by itself)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(words[3]) == session and words[0] != "Z":
                    found.append(entry.name)
            except (OSError, IndexError, ValueError):
                continue
    return found

"""A running service notices imported and removed releases: its answers, its coder, every worker process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_twin.errors import KnowledgeError
from fhir_twin.knowledge import Knowledge
from fhir_twin.renewal import Renewal
from fhir_twin.service import TwinService
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.web.shelf import OpenShelf
from terminology.library import import_release, remove_release
from terminology.store import open_terminology

OBO = """format-version: 1.2
data-version: {version}
ontology: made

[Term]
id: MADE:1
name: quelled marsh ague
synonym: "bog shiver" EXACT []
xref: ICD10CM:B54
"""
SYSTEM = "http://purl.obolibrary.org/obo/made.owl"


def release(folder: Path, version: str) -> Path:
    source = folder / f"made-{version}.obo"
    source.write_text(OBO.format(version=version), "utf-8")
    return source


def until(fact: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if fact():
            return True
        time.sleep(0.05)
    return False


def test_the_shelf_follows_the_folder(tmp_path: Path) -> None:
    folder, now = tmp_path / "out", [0.0]
    import_release("obo", release(tmp_path, "1"), folder)
    opened = []
    shelf = OpenShelf(lambda: opened.append(1) or open_terminology(folder), every=2.0, clock=lambda: now[0])  # type: ignore[func-returns-value]
    first, _ = shelf.now()
    import_release("obo", release(tmp_path, "2"), folder)
    assert shelf.now()[0] is first  # not looked at again yet
    now[0] = 2.0
    second, catalogue = shelf.now()
    system = first.releases[0].system
    assert len(second.releases) == 2 and catalogue.shelf is second and len(first.releases) == 1
    assert (
        first.lookup(system, "MADE:1").display == "quelled marsh ague"
    )  # an answer in hand goes on with its own
    now[0] = 4.0
    assert shelf.now()[0] is second and len(opened) == 2  # nothing changed: nothing is opened
    assert remove_release(folder, system, first.releases[0].version)
    now[0] = 6.0
    assert len(shelf.now()[0].releases) == 1


class Loads:
    """Knowledge that says how often it was read; `hold` keeps a reading from ending."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge, self.count, self.refuse, self.hold = knowledge, 0, False, threading.Event()
        self.hold.set()

    def __call__(self) -> Knowledge:
        self.count += 1
        number = self.count
        self.hold.wait(20)
        if self.refuse:
            raise KnowledgeError("mappings: broken")
        return replace(self.knowledge, version=f"read {number}")


def test_knowledge_is_read_beside_the_answers(tmp_path: Path, all_knowledge: Knowledge) -> None:
    folder, loads = tmp_path / "out", Loads(all_knowledge)
    renewal = Renewal(folder, loads, every=0.0)
    assert renewal.latest() is None and loads.count == 0
    loads.hold.clear()
    import_release("obo", release(tmp_path, "1"), folder)
    assert renewal.latest() is None and until(lambda: loads.count == 1)
    import_release("obo", release(tmp_path, "2"), folder)  # changes again while it is being read
    began = time.monotonic()
    assert renewal.latest() is None and time.monotonic() - began < 1.0
    loads.hold.set()
    assert until(lambda: loads.count == 2 and (k := renewal.latest()) is not None and k.version == "read 2")
    loads.refuse = True
    import_release("obo", release(tmp_path, "3"), folder)
    assert until(lambda: renewal.latest() is not None and loads.count == 3)
    found = renewal.latest()
    assert found is not None and found.version == "read 2"  # what cannot be read changes nothing


def test_a_process_without_requests_follows_too(tmp_path: Path, all_knowledge: Knowledge) -> None:
    folder = tmp_path / "out"
    renewal = Renewal(folder, Loads(all_knowledge), every=0.02)
    service = TwinService(None, None, all_knowledge)  # type: ignore[arg-type]
    renewal.follow(service.use)
    import_release("obo", release(tmp_path, "1"), folder)
    assert until(lambda: service.knowledge.version == "read 1")


def test_requests_take_the_new_knowledge(tmp_path: Path, all_knowledge: Knowledge) -> None:
    folder = tmp_path / "out"
    renewal = Renewal(folder, Loads(all_knowledge), every=0.0)
    service = TwinService(None, None, all_knowledge)  # type: ignore[arg-type]
    client = create_app(service, load_settings({}, {}), renewal=renewal).test_client()

    def version() -> str:
        found = client.get("/fhir/PlanDefinition", base_url="http://127.0.0.1").get_json(force=True)
        return str(found["entry"][0]["resource"]["version"])

    assert version() == all_knowledge.version
    import_release("obo", release(tmp_path, "1"), folder)
    assert until(lambda: version() == "read 1") and service.knowledge.version == "read 1"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """`fhir-twin serve` with two worker processes: (base URL, the folder of its releases)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "releases"
    command = [sys.executable, "-m", "fhir_twin", "serve", "--server", "http://127.0.0.1:9/fhir", "--workers", "2",
               "--port", str(port), "--terminology", str(folder)]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    base = f"http://127.0.0.1:{port}"
    try:
        assert until(lambda: answers(f"{base}/health"), 120)
        yield base, folder
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(30)


def answers(url: str) -> bool:
    try:
        ask(url)
    except OSError:
        return False
    return True


def ask(url: str) -> dict[str, Any]:
    """On a connection of its own: any of the workers may take it."""
    with urllib.request.urlopen(url, timeout=30) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def everywhere(fact: Callable[[], bool]) -> bool:
    return all(fact() for _ in range(30))


def test_all_workers_over_a_socket(served: tuple[str, Path], tmp_path: Path) -> None:
    base, folder = served

    def names() -> bool:
        found = ask(f"{base}/fhir/CodeSystem?_count=50")
        return any(
            e["resource"]["url"] != "http://hl7.org/fhir/sid/icd-10-cm" for e in found.get("entry", ())
        )

    def version() -> str:
        return str(ask(f"{base}/fhir/PlanDefinition")["entry"][0]["resource"]["version"])

    before = version()
    assert everywhere(lambda: not names()) and everywhere(lambda: version() == before)
    made, _, _ = import_release("obo", release(tmp_path, "1"), folder)
    assert until(lambda: everywhere(names), 60)
    assert until(lambda: version() != before, 180)
    after = version()
    assert after != before and until(lambda: everywhere(lambda: version() == after), 120)
    assert remove_release(folder, made.system, made.version)
    assert until(lambda: everywhere(lambda: not names()), 60)
    assert until(lambda: everywhere(lambda: version() == before), 120)

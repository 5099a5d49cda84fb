"""One real HAPI server for all tests of this folder; skipped with the reason where it cannot run.

FHIR_TWIN_HAPI_URL names a server that runs already; otherwise one is started on a free port, built by Maven first
when it is not built yet."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SERVER = Path(__file__).parent / "server"
JAR = SERVER / "target" / "hapi-server-1.jar"


def _launcher() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hapi_start", SERVER / "start.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build() -> str:
    """Why the server cannot be had, "" when it is built."""
    if shutil.which("java") is None:
        return "a real HAPI server needs Java 17, and no java is on the PATH"
    if JAR.exists():
        return ""
    if shutil.which("mvn") is None:
        return "the HAPI server is not built, and no Maven (mvn) is on the PATH to build it"
    built = subprocess.run(
        ["mvn", "-B", "-ntp", "-q", "package"], cwd=SERVER, capture_output=True, timeout=900, check=False
    )
    return "" if built.returncode == 0 and JAR.exists() else "Maven could not build the HAPI server"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def hapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a real HAPI server."""
    running = os.environ.get("FHIR_TWIN_HAPI_URL", "").rstrip("/")
    if running:
        yield running
        return
    reason = _build()
    if reason:
        pytest.skip(reason)
    launcher = _launcher()
    process, base = launcher.start(_free_port(), log=tmp_path_factory.mktemp("hapi") / "hapi.log")
    try:
        yield base
    finally:
        launcher.stop(process)

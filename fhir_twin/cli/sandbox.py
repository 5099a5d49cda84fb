"""`fhir-twin sandbox`: only the sandbox FHIR server, with its sample patients."""

from __future__ import annotations

import argparse
import contextlib
import threading
from datetime import UTC, datetime

from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.settings import load_settings
from fhir_twin.wiring import open_server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8090, help="port on loopback (default: 8090)")
    parser.add_argument("--empty", action="store_true", help="start without the sample patients")


def run(arguments: argparse.Namespace) -> int:
    with contextlib.closing(serve_sandbox(port=arguments.port)) as sandbox:
        if not arguments.empty:
            server = open_server(load_settings({"server": sandbox.base}, environment={}))
            for bundle in load_bundles(datetime.now(UTC).date()):
                server.transaction(bundle)
        print(f"FHIR R4 sandbox (not for production) at {sandbox.base}; Ctrl-C stops it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")
    return 0

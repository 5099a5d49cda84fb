"""fhir-twin on a sandbox over real sockets, for a browser to look at; and sources that are slow, closed or broken."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from fhir_twin.errors import Forbidden, TwinError, UpstreamTimeout
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.chart import Completeness
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.service import TwinService
from fhir_twin.settings import load_settings
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.web import create_app
from fhir_twin.wiring import open_library, open_server, open_service


@contextmanager
def served(app: Any, host: str = "127.0.0.1") -> Iterator[str]:
    """A WSGI app on a free port; its URL."""
    server = make_server(host, 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Twin:
    """The service under test: its URL, its settings' folder, and the FHIR server behind it."""

    def __init__(self, base: str, server: FhirServer, service: TwinService, folder: Path, app: Any) -> None:
        self.base, self.server, self.service, self.folder, self.app = base, server, service, folder, app

    def held(self, type_: str, patient: str) -> list[dict[str, Any]]:
        return self.server.search(type_, {"patient": patient})


@contextmanager
def twin(folder: Path, knowledge: Knowledge, **options: Any) -> Iterator[Twin]:
    """A sandbox with the sample patients, the service on it, and the page."""
    with contextlib.closing(serve_sandbox(port=0)) as sandbox:
        site = folder / "site"
        site.mkdir(exist_ok=True)
        chosen = {"server": sandbox.base, "cache": str(folder / "cache"), "knowledge": str(site), **options}
        settings = load_settings(chosen, {})
        server = open_server(settings)
        for bundle in load_bundles(date(2026, 11, 1)):
            server.transaction(bundle)
        service = open_service(settings, knowledge)
        app = create_app(service, settings, lambda: open_library(load_settings({"server": sandbox.base}, {})))
        with served(app) as base:
            yield Twin(base, server, service, site, app)


class Odd:
    """A source over another one that is slow (seconds), fails for good (error), or withholds types."""

    def __init__(
        self, inner: Any, *, seconds: float = 0.0, error: TwinError | None = None, short: tuple[str, ...] = ()
    ) -> None:
        self.inner, self.seconds, self.error, self.short = inner, seconds, error, short
        self.base = inner.base

    def patients(self) -> Iterator[str]:
        return self.inner.patients()  # type: ignore[no-any-return]

    def find(self, system: str, value: str) -> str:
        return str(self.inner.find(system, value))

    def fetch(self, patient: str) -> Any:
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        fetched = self.inner.fetch(patient)
        rows = tuple(self._row(c) for c in fetched.completeness)
        return replace(fetched, completeness=rows)

    def _row(self, row: Completeness) -> Completeness:
        if row.type not in self.short:
            return row
        return Completeness(row.type, 0, None, "not-permitted", "the server answered 403")


REFUSED = Forbidden("the FHIR server refuses to show this patient (403)")
DOWN = UpstreamTimeout("the FHIR server did not answer within 60 s")

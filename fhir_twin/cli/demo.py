"""`fhir-twin demo`: sandbox, sample patients, the main job over HTTP; then the page and the API."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time

from fhir_twin import log
from fhir_twin.cli import add_settings, report
from fhir_twin.cli.run import parse_as_of, summary
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.service import Outcome
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_library, open_renewal, open_server, open_service

SETTINGS = ("port", "knowledge", "cache", "log_level")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="run the job, print, and exit")
    parser.add_argument("--as-of", metavar="DATE", help="pretend it is this date (default: now)")
    parser.add_argument(
        "--sandbox-port", type=int, default=0, help="port of the sandbox (default: any free one)"
    )
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    flags: dict[str, object] = {name: getattr(arguments, name) for name in SETTINGS}
    as_of = parse_as_of(arguments.as_of)
    with (
        contextlib.closing(serve_sandbox(port=arguments.sandbox_port)) as sandbox,
        tempfile.TemporaryDirectory(prefix="fhir-twin-demo-") as site,
    ):
        flags["knowledge"] = (
            flags["knowledge"] or site
        )  # corrections made on the page are kept there, till the end
        here = {"server": sandbox.base, "host": "127.0.0.1", "session_store": f"sqlite:///{site}/web.sqlite"}
        settings = load_settings({**flags, **here}, environment={})
        log.set_up(settings.text("log_level"))
        _say(f"A FHIR R4 sandbox (synthetic patients only; not for production) answers at {sandbox.base}")
        start = time.monotonic()
        service = open_service(settings)
        _say(f"Knowledge loaded in {time.monotonic() - start:.1f} s, version {service.knowledge.version}")
        server = open_server(settings)
        for bundle in load_bundles(as_of.date()):
            server.transaction(bundle)
        told = {patient: (title, story) for patient, title, story in stories()}
        outcomes: list[Outcome] = []
        for outcome in service.run_many(told, as_of):
            title, story = told[outcome.patient]
            _say(f"\n{title}: {story}\n{report.describe(outcome)}")
            outcomes.append(outcome)
        _say(summary(outcomes))
        failed = [o for o in outcomes if not o.ok]
        if arguments.once or failed:
            return 1 if failed else 0
        _serve(service, settings, sandbox.base)
    return 0


def _serve(service, settings, base: str) -> None:  # type: ignore[no-untyped-def]
    import waitress

    app = create_app(service, settings, lambda: open_library(settings), renewal=open_renewal(settings))
    server = waitress.create_server(
        app, host="127.0.0.1", port=settings.integer("port"), threads=8, ident=None
    )
    here = f"http://127.0.0.1:{server.effective_port}"
    _say(f"\nThe page:  {here}/   (choose a patient)")
    _say(f"The API:   POST {here}/api/patients/ID/run  (GET {here}/metadata, /health, /ready)")
    _say(f"The FHIR sandbox: {base}\nCtrl-C stops all of it; nothing is kept.")
    try:
        server.run()
    except KeyboardInterrupt:
        _say("\nstopped")
    finally:
        server.close()


def _say(text: str) -> None:
    print(text, flush=True)

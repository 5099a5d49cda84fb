"""`fhir-twin serve`: gunicorn with threads, or waitress where there is no Unix."""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from fhir_twin import log
from fhir_twin.cli import add_settings
from fhir_twin.knowledge import Knowledge
from fhir_twin.pipeline import warm_up
from fhir_twin.renewal import Renewal
from fhir_twin.settings import OPTIONS, Settings, load_settings
from fhir_twin.tenants import tenant_settings
from fhir_twin.wiring import open_knowledge, open_library, open_renewal, open_service
from fhir_twin.wiring_feeds import open_reception, with_feeds
from fhir_twin.wiring_work import audit_of, open_settings_store

# A run makes some ten thousand values and hardly a circle of them; the runs that are kept would be looked through at
# each round, which took a tenth of a call.
GARBAGE = (50_000, 20, 20)
NAMES = tuple(option.name for option in OPTIONS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, *NAMES)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({name: getattr(arguments, name) for name in NAMES}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    _count_in_all_processes(settings)
    tenants = settings.path("tenants")
    app = open_app(settings) if tenants is None else open_tenants(tenants, settings)
    collect_seldom()
    host, port = settings.text("host"), settings.integer("port")
    what = settings.text("server") or "those who log in at a registered server"
    print(f"fhir-twin serves http://{host}:{port}/ for {what}", file=sys.stderr, flush=True)
    if sys.platform != "win32" and importlib.util.find_spec("gunicorn"):
        _gunicorn(app, settings)
    else:
        _waitress(app, settings)
    return 0


def open_tenants(folder: Path, settings: Settings) -> Any:
    """One app for all tenants of a folder: each has its own settings file, store rows, sessions and clients."""
    from fhir_twin.web.tenants import mount

    renewal = open_renewal(settings)
    knowledge = open_knowledge(settings)
    tenants = tenant_settings(folder, settings).items()
    return mount({name: open_app(own, knowledge, renewal) for name, own in tenants})


def _count_in_all_processes(settings: Settings) -> None:
    """prometheus_client adds up what several processes count in a folder that is named before it is loaded."""
    if settings.integer("workers") > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="fhir-twin-metrics")


def open_app(settings: Settings, knowledge: Knowledge | None = None, renewal: Renewal | None = None) -> Any:
    """The Flask app with everything that the settings ask for. Raises TwinError when it cannot start."""
    from fhir_twin.web import create_app  # after the folder of the counters is named

    renewal = renewal or open_renewal(settings)  # before the knowledge: what is imported meanwhile is noticed
    service = open_service(settings, knowledge, wait_for_server=True)
    warm_up(service.knowledge)  # before the workers are forked, so that they share what it builds
    store = open_settings_store(settings)
    service.audit = audit_of(settings, store)
    reception = None
    if settings.flag("feeds"):
        service, reception = with_feeds(service, store), open_reception(settings, store)
    library = functools.partial(open_library, settings)
    return create_app(service, settings, library, store, reception=reception, renewal=renewal)


def collect_seldom() -> None:
    """For a process that does nothing but serve: the knowledge lives as long as it does, and looking through it again
    costs a quarter of a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


def _gunicorn(app: Any, settings: Settings) -> None:
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            host, port = settings.text("host"), settings.integer("port")
            chosen = {
                "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
                "worker_class": "gthread",
                "workers": settings.integer("workers"),
                "threads": settings.integer("worker_threads"),
                "timeout": 120,
                "graceful_timeout": 30,
                "preload_app": True,  # the knowledge is loaded once and shared by the workers
                "accesslog": None,  # paths name patients
                "loglevel": "error",  # its warnings quote request lines, which name patients
                "limit_request_line": 4094,
            }
            for key, value in chosen.items():
                self.cfg.set(key, value)

        def load(self) -> Any:
            return app

    Server().run()


def _waitress(app: Any, settings: Settings) -> None:
    import waitress

    threads = settings.integer("worker_threads")
    waitress.serve(
        app, host=settings.text("host"), port=settings.integer("port"), threads=threads, ident=None
    )

"""The site's own corrections, used by every process: each looks at the files' times before it codes a record."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from flask import current_app

from fhir_twin.service import TwinService
from fhir_twin.settings import Settings
from mappings import Source
from terminology import open_coder

_RELOADING = threading.Lock()


def site_stamp(settings: Settings) -> str:
    """Names, sizes and times of the site's lexicon files; "" without a folder of its own knowledge."""
    overlay = settings.path("knowledge")
    return _stamp(overlay) if overlay is not None else ""


def use_corrections(service: TwinService) -> None:
    """Open the coder anew when the site's lexicon has changed since this process opened it (some seconds, once)."""
    kept = current_app.extensions["fhir-twin"]
    settings: Settings = kept["settings"]
    overlay = settings.path("knowledge")
    if overlay is None:
        return
    with _RELOADING:
        stamp = _stamp(overlay)
        main: TwinService = kept["service"]
        if stamp != kept["lexicon"]:
            source = Source(overlay=overlay)
            coder = open_coder(source, cache=settings.path("cache"))
            main.knowledge = replace(main.knowledge, coder=coder, version=source.digest())
            kept["lexicon"] = stamp
        service.knowledge = main.knowledge


def _stamp(overlay: Path) -> str:
    files = sorted((overlay / "lexicon").glob("site-*.tsv"))
    return " ".join(f"{f.name}:{(s := f.stat()).st_size}:{s.st_mtime_ns}" for f in files)

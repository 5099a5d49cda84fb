"""The site's own corrections, used by every process: each looks at the files' times before it codes a record."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from flask import current_app

from fhir_twin.renewal import Renewal
from fhir_twin.service import TwinService
from fhir_twin.settings import Settings
from mappings import Source
from terminology import open_coder

_RELOADING = threading.Lock()


def site_stamp(settings: Settings) -> str:
    """Names, sizes and times of the site's lexicon files; "" without a folder of its own knowledge."""
    overlay = settings.path("knowledge")
    return _stamp(overlay) if overlay is not None else ""


def use_renewed() -> None:
    """Before every request: the knowledge with the releases that are there now, once it has been read."""
    kept = current_app.extensions["fhir-twin"]
    renewal: Renewal | None = kept["renewal"]
    latest = renewal.latest() if renewal is not None else None
    if renewal is None or latest is None or latest is kept.get("renewed"):
        return
    with _RELOADING:
        if latest is not kept.get("renewed"):
            kept["renewed"] = latest
            kept["service"].knowledge = latest
            overlay = kept["settings"].path("knowledge")
            fresh = overlay is None or _newest(overlay) < renewal.read_at
            kept["lexicon"] = (
                site_stamp(kept["settings"]) if fresh else ""
            )  # a correction made since is read again
            kept.pop("definitions", None)


def use_corrections(service: TwinService) -> None:
    """Open the coder anew when the site's lexicon has changed since this process opened it (some seconds, once)."""
    kept = current_app.extensions["fhir-twin"]
    settings: Settings = kept["settings"]
    overlay = settings.path("knowledge")
    main: TwinService = kept["service"]
    with _RELOADING:
        stamp = _stamp(overlay) if overlay is not None else ""
        if overlay is not None and stamp != kept["lexicon"]:
            renewal: Renewal | None = kept["renewal"]
            if renewal is not None:
                main.knowledge = renewal.read_now()
            else:
                source = Source(overlay=overlay)
                coder = open_coder(source, cache=settings.path("cache"))
                main.knowledge = replace(main.knowledge, coder=coder, version=source.digest())
            kept["lexicon"] = stamp
        service.knowledge = main.knowledge


def _newest(overlay: Path) -> int:
    """When the site's lexicon was last changed, nanoseconds of the epoch; 0 without one."""
    return max((f.stat().st_mtime_ns for f in (overlay / "lexicon").glob("site-*.tsv")), default=0)


def _stamp(overlay: Path) -> str:
    files = sorted((overlay / "lexicon").glob("site-*.tsv"))
    return " ".join(f"{f.name}:{(s := f.stat()).st_size}:{s.st_mtime_ns}" for f in files)

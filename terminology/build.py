"""Build once, load many: a code release and the lexicon become a cached text index.

The cache key is the checksum of the release, of the lexicon and of the format, so a changed file is a new entry and
never a stale one. A build goes to a private folder that is renamed into place: an interrupted build leaves nothing
that looks finished, and of two processes that build at once one simply wins.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

FORMAT = "9"
_DONE = "complete"


def default_cache() -> Path:
    """$XDG_CACHE_HOME/fhir-twin/terminology, or below ~/.cache; a temporary folder when neither can be written."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "fhir-twin" / "terminology"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="fhir-twin-terminology-"))
    if os.access(folder, os.W_OK):
        return folder
    return Path(tempfile.mkdtemp(prefix="fhir-twin-terminology-"))


def key(parts: Iterable[bytes]) -> str:
    """16 hex digits over `parts` and the format."""
    sums = hashlib.sha256(FORMAT.encode())
    for part in parts:
        sums.update(len(part).to_bytes(8, "big"))
        sums.update(part)
    return sums.hexdigest()[:16]


def ensure(cache: Path, name: str, build: Callable[[Path], None]) -> Path:
    """The finished folder `cache/name`, built by `build(private folder)` when it is not there.

    Raises OSError when the cache cannot be written; whatever `build` raises goes through, and nothing is left behind.
    """
    final = cache / name
    if (final / _DONE).exists():
        return final
    cache.mkdir(parents=True, exist_ok=True)
    private = cache / f".{name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    private.mkdir()
    try:
        build(private)
        (private / _DONE).write_text(FORMAT, "utf-8")
        _publish(private, final)
    finally:
        shutil.rmtree(private, ignore_errors=True)
    return final


def _publish(private: Path, final: Path) -> None:
    try:
        private.rename(final)
    except OSError:
        if not (final / _DONE).exists():  # a torn folder of an older crash: clear it, then try once more
            shutil.rmtree(final, ignore_errors=True)
            private.rename(final)


def forget(cache: Path, name: str) -> None:
    """Drop a damaged entry so that the next `ensure` builds it anew."""
    shutil.rmtree(cache / name, ignore_errors=True)

"""What must survive of a bulk export: one small JSON file beside the data, replaced as a whole."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from fhir_twin.errors import InvalidInput

NAME = ".export.json"  # hidden, so that nobody reads it as data
Step = Literal["running", "ready", "downloaded", "done", "cancelled"]


@dataclass(frozen=True, slots=True, repr=False)
class KeptFile:
    """name: ours, in the folder. count: lines, by the server's word. size: bytes on disk."""

    kind: str
    type: str
    name: str
    url: str
    count: int | None
    done: bool = False
    size: int = 0

    def complete(self, size: int) -> KeptFile:
        return replace(self, done=True, size=size)


@dataclass(frozen=True, slots=True, repr=False)
class BulkState:
    """status_url: where the server tells of the job. time: its transactionTime, the next `_since`."""

    step: Step
    base: str
    status_url: str
    since: str = ""
    time: str = ""
    needs_token: bool = False
    files: tuple[KeptFile, ...] = ()

    def at(self, step: Step, **changes: Any) -> BulkState:
        return replace(self, step=step, **changes)


def read_state(folder: Path) -> BulkState | None:
    """None when there is none. Raises InvalidInput when it is damaged."""
    try:
        raw = orjson.loads((folder / NAME).read_bytes())
        return BulkState(**{**raw, "files": tuple(KeptFile(**f) for f in raw["files"])})
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError, TypeError, KeyError):
        raise InvalidInput(f"{NAME} in this folder is damaged; remove it to start anew") from None


def write_state(folder: Path, state: BulkState) -> None:
    """On disk when it returns; a crash leaves the old one or the new one."""
    part = folder / (NAME + ".part")
    with part.open("wb") as out:
        out.write(orjson.dumps(asdict(state), option=orjson.OPT_INDENT_2))
        out.flush()
        os.fsync(out.fileno())
    part.replace(folder / NAME)

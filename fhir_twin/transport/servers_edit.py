"""Add to and take from the servers file, keeping what people wrote in it. The new text is read before it replaces the
old, so that a file that works never becomes one that does not."""

from __future__ import annotations

import os
import re
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from fhir_twin.errors import InvalidInput, NotFound
from fhir_twin.transport.servers_file import read_servers

_HEAD = re.compile(r"^\s*\[")
HEADER = (
    "# FHIR servers that fhir-twin is registered with, and CDS Hooks clients. See docs/registration.md.\n"
)


def add_entry(path: Path, table: str, values: dict[str, Any]) -> None:
    """Append `[[table]]`. Raises InvalidInput when the file would not be valid with it."""
    block = f"\n[[{table}]]\n" + "".join(
        f"{k} = {_toml(v)}\n" for k, v in values.items() if v not in ("", (), [])
    )
    _replace(path, (path.read_text("utf-8") if path.exists() else HEADER).rstrip("\n") + "\n" + block)


def remove_entry(path: Path, table: str, key: str, value: str) -> None:
    """Take out the `[[table]]` whose `key` is `value`. Raises NotFound when there is none."""
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    starts = [i for i, line in enumerate(lines) if _HEAD.match(line)] + [len(lines)]
    wanted = re.compile(rf"^\s*{re.escape(key)}\s*=\s*{re.escape(_toml(value))}\s*(#.*)?$")
    for start, end in pairwise(starts):
        if lines[start].strip().startswith(f"[[{table}]]") and any(wanted.match(x) for x in lines[start:end]):
            _replace(path, "".join(lines[:start]).rstrip("\n") + "\n" + "".join(lines[end:]))
            return
    raise NotFound(f"the servers file has no [[{table}]] with this {key}")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    text = str(value)
    if any(ord(c) < 32 or c == "\x7f" for c in text):
        raise InvalidInput("a value holds control characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".servers.", suffix=".toml")
    made = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        read_servers(made)
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)

"""NDJSON files cut into byte ranges: a line belongs to the range in which it begins, so each is read exactly once."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from fhir_twin.errors import InvalidInput

SUFFIXES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
SIZE = 32 * 1024 * 1024
MAX_LINE = 16 * 1024 * 1024
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes [start, end) of one file; `file` is its place in the sorted list (file names may carry patients' names).
    A gzip file is one range, from 0 to its compressed size."""

    path: str
    file: int
    start: int
    end: int
    total: int

    @property
    def packed(self) -> bool:
        return self.path.lower().endswith(".gz")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: where it begins (in a gzip file: in the unpacked stream), its bytes without the line end, or the
    reason why it was not read (its bytes are then empty)."""

    offset: int
    data: bytes
    fault: str = ""


def list_inputs(folder: Path) -> list[Path]:
    """NDJSON files of an export, sorted. Raises InvalidInput when there are none."""
    if folder.is_file():
        return [folder]
    found = sorted(
        p
        for p in folder.rglob("*")
        if p.is_file() and not p.name.startswith(".") and p.name.lower().endswith(SUFFIXES)
    )
    if not found:
        raise InvalidInput("no .ndjson file (plain or .gz) in the input")
    return found


def cut(files: list[Path], size: int = SIZE) -> list[Range]:
    """The files' ranges of at most `size` bytes, in order; together they cover every file once."""
    if size < 1:
        raise InvalidInput("a range must have at least one byte")
    found = []
    for number, path in enumerate(files, 1):
        total = path.stat().st_size
        step = max(total, 1) if path.name.lower().endswith(".gz") else size
        found += [
            Range(str(path), number, start, min(start + step, total), total)
            for start in range(0, total, step)
        ]
    return found


def lines(part: Range, max_line: int = MAX_LINE) -> Iterator[Line]:
    """The lines that begin inside the range. Blank lines are passed over, CRLF and a BOM are taken off; a line over
    `max_line` bytes, and a gzip file that breaks off, are said (Line.fault)."""
    with _open(part) as stream:
        position = part.start if not part.packed else 0
        if position:
            stream.seek(position - 1)
            position += _skip(stream) - 1  # the line that began before us belongs to the range before
        limit = part.end if not part.packed else None
        try:
            yield from _from(stream, position, limit, max_line)
        except (EOFError, OSError, zlib.error):
            yield Line(stream.tell(), b"", "the file breaks off or cannot be unpacked; the rest was not read")


def _from(stream: IO[bytes], position: int, limit: int | None, max_line: int) -> Iterator[Line]:
    while limit is None or position < limit:
        data = stream.readline(max_line + 1)
        if not data:
            return
        start, position = position, position + len(data)
        if len(data) > max_line:
            position += 0 if data.endswith(b"\n") else _skip(stream)
            yield Line(start, b"", f"a line longer than {max_line} bytes was not read")
            continue
        if start == 0 and data.startswith(BOM):
            data = data[len(BOM) :]
        data = data.strip()
        if data:
            yield Line(start, data)


def _skip(stream: IO[bytes]) -> int:
    """To the begin of the next line; the bytes passed over."""
    passed = 0
    while piece := stream.readline(1 << 16):
        passed += len(piece)
        if piece.endswith(b"\n"):
            break
    return passed


def _open(part: Range) -> IO[bytes]:
    if part.packed:
        return cast(IO[bytes], gzip.open(part.path, "rb"))
    return Path(part.path).open("rb", buffering=1 << 20)

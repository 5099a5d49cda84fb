"""NDJSON files cut into byte ranges: a line belongs to the range in which it begins, so each is read exactly once."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, cast

from fhir_twin.errors import InvalidInput

SUFFIXES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
SIZE = 16 * 1024 * 1024
MAX_LINE = 16 * 1024 * 1024
CHUNK = 1 << 20
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


class Line(NamedTuple):
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
    for start, pieces, fault in blocks(part, max_line):
        at = start
        for piece in pieces:
            yield from _line(at, piece)
            at += len(piece) + 1
        if fault:
            yield Line(at, b"", fault)


class Block(NamedTuple):
    """Raw pieces of a file between line ends, one after the other from byte `start` on; then perhaps a fault."""

    start: int
    pieces: list[bytes]
    fault: str = ""


def blocks(part: Range, max_line: int = MAX_LINE) -> Iterator[Block]:
    """The same as `lines`, a chunk at a time and as it stands in the file (with blanks and CR): the fast way."""
    with _open(part) as stream:
        position = part.start if not part.packed else 0
        if position:
            stream.seek(position - 1)
            position += _skip(stream) - 1  # the line that began before us belongs to the range before
        limit = part.end if not part.packed else None
        told = [position]
        try:
            yield from _split(stream, told, limit, max_line)
        except (EOFError, OSError, zlib.error):
            yield Block(told[0], [], "the file breaks off or cannot be unpacked; the rest was not read")


def _split(stream: IO[bytes], told: list[int], limit: int | None, max_line: int) -> Iterator[Block]:
    """Whole chunks are split at once; a line that crosses chunks is put together. told[0]: where the next line
    begins."""
    rest = b""  # the piece of a line that the last chunk ended with
    while limit is None or told[0] < limit:
        chunk = stream.read(CHUNK)
        pieces = (rest + chunk).split(b"\n")
        rest = pieces.pop() if chunk else b""
        start = told[0]
        size = sum(map(len, pieces)) + len(pieces)
        if limit is not None and start + size > limit:
            pieces = _within(pieces, limit - start)
            size = limit - start  # the last line may end beyond the limit: nothing more is read
        told[0] += size
        yield from _bounded(start, pieces, max_line)
        if not chunk:
            return
        if len(rest) > max_line and (limit is None or told[0] < limit):
            yield Block(told[0], [], _too_long(max_line))
            told[0] += len(rest) + _skip(stream)
            rest = b""


def _within(pieces: list[bytes], room: int) -> list[bytes]:
    """The pieces that begin within the next `room` bytes."""
    begin = 0
    for number, piece in enumerate(pieces):
        if begin >= room:
            return pieces[:number]
        begin += len(piece) + 1
    return pieces


def _bounded(start: int, pieces: list[bytes], max_line: int) -> Iterator[Block]:
    """The pieces as one block, broken where one is too long."""
    if not pieces or max(map(len, pieces)) <= max_line:
        yield Block(start, pieces)
        return
    kept: list[bytes] = []
    at = start
    for piece in pieces:
        at += len(piece) + 1
        if len(piece) <= max_line:
            kept.append(piece)
            continue
        yield Block(start, kept, _too_long(max_line))
        kept, start = [], at
    yield Block(start, kept)


def _line(start: int, data: bytes) -> tuple[Line, ...]:
    """Without blanks, line end and BOM; nothing when it is blank."""
    if start == 0 and data.startswith(BOM):
        data = data[len(BOM) :]
    data = data.strip()
    return (Line(start, data),) if data else ()


def _too_long(max_line: int) -> str:
    return f"a line longer than {max_line} bytes was not read"


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

"""Read FHIR JSON files: a resource, a Bundle or NDJSON, plain or gzip, one or a folder of them.

Bounded in bytes and line length. A bad line or file is an Issue and the rest goes on. Files are named by their
place in the sorted list, never by name: file names carry patients' names (Synthea's do).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fhir_twin.errors import InvalidInput, Issue, TooCostly, TwinError
from fhir_twin.fhir.parse import parse_json

Resource = dict[str, Any]
JSON_SUFFIXES = (".json", ".json.gz")
NDJSON_SUFFIXES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
MAX_FILE = 512 * 1024 * 1024
MAX_LINE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """One JSON value of a file and where it was ("file[2]", "file[2].line[17]"); or why it could not be read."""

    place: str
    value: Resource | None
    issue: Issue | None = None


def list_files(paths: list[Path]) -> list[Path]:
    """The files to read, folders searched through, sorted. Raises InvalidInput when there is none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            found += sorted(p for p in inside if _known(p))
        elif path.is_file():
            found.append(path)
        else:
            raise InvalidInput(f"no such file or folder: {path}")
    if not found:
        raise InvalidInput("no .json or .ndjson file found (also .gz)")
    return list(dict.fromkeys(found))


def read_documents(
    files: list[Path], *, max_bytes: int = MAX_FILE, max_line: int = MAX_LINE
) -> Iterator[Document]:
    """Every JSON object of every file, in order."""
    for number, path in enumerate(files, 1):
        place = f"file[{number}]"
        try:
            if path.name.lower().endswith(NDJSON_SUFFIXES):
                yield from _lines(path, place, max_bytes, max_line)
            else:
                yield _whole(path, place, max_bytes)
        except (OSError, EOFError, zlib.error) as error:
            text = f"the file cannot be read to its end ({type(error).__name__}); it may be cut short"
            yield Document(place, None, Issue("error", "incomplete", text, place, "fetch"))
        except TwinError as error:
            yield Document(place, None, Issue("error", error.code, error.message, place, "fetch"))


def _known(path: Path) -> bool:
    return path.name.lower().endswith((*JSON_SUFFIXES, *NDJSON_SUFFIXES))


def _whole(path: Path, place: str, max_bytes: int) -> Document:
    with _open(path) as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooCostly(f"the file holds more than {max_bytes} bytes")
    return _document(parse_json(data, what=place), place)


def _lines(path: Path, place: str, max_bytes: int, max_line: int) -> Iterator[Document]:
    total = 0
    with _open(path) as stream:
        number = 0
        while line := stream.readline(max_line + 1):
            number += 1
            total += len(line)
            where = f"{place}.line[{number}]"
            if total > max_bytes:
                raise TooCostly(f"the file holds more than {max_bytes} bytes; the rest was not read")
            if len(line) > max_line:
                _skip_line(stream, line)
                text = f"a line longer than {max_line} bytes was not read"
                yield Document(where, None, Issue("error", "too-long", text, where, "fetch"))
                continue
            if not line.strip():
                continue
            try:
                yield _document(parse_json(line, what=where), where)
            except TwinError as error:
                yield Document(where, None, Issue("error", error.code, error.message, where, "fetch"))


def _skip_line(stream: IO[bytes], line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(1 << 20)


def _document(value: Any, place: str) -> Document:
    if isinstance(value, dict) and isinstance(value.get("resourceType"), str):
        return Document(place, value)
    issue = Issue("error", "structure", "not a FHIR resource: no resourceType", place, "fetch")
    return Document(place, None, issue)


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path, "rb") as stream:
            yield stream  # type: ignore[misc]
    else:
        with path.open("rb") as stream:
            yield stream

"""Files of a release: folders or zip archives, read line by line with caps against bombs and path tricks."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from terminology.importers.rows import BadRelease, Report

MAX_RATIO = 200  # compressed to plain; real releases stand at 5 to 15
MAX_PLAIN = 20_000_000_000
MAX_MEMBERS = 20_000


class Files:
    """The members of a folder or zip, by name; nothing is ever unpacked to disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            self.names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        elif zipfile.is_zipfile(path):
            self.names = _checked(path)
        elif path.is_file():
            self.names = [path.name]
        else:
            raise BadRelease(f"{path.name}: no such file, folder or zip archive")

    def matching(self, *parts: str, suffix: str = "") -> list[str]:
        """Names whose last part contains every one of `parts`, sorted."""
        return [
            n for n in self.names if n.endswith(suffix) and all(p in PurePosixPath(n).name for p in parts)
        ]

    @contextmanager
    def open(self, name: str) -> Iterator[IO[str]]:
        """Text of a member, UTF-8 with an optional byte order mark. Undecodable bytes become U+FFFD."""
        if self.path.is_dir() or not zipfile.is_zipfile(self.path):
            place = self.path / name if self.path.is_dir() else self.path
            with place.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
                yield stream
            return
        with zipfile.ZipFile(self.path) as archive, archive.open(name) as raw:
            yield io.TextIOWrapper(raw, "utf-8-sig", errors="replace", newline="")

    def checksum(self) -> str:
        """sha256 over names and sizes (a release of 5 GB is not read twice)."""
        sums = hashlib.sha256()
        if self.path.is_file():
            sums.update(f"{self.path.stat().st_size}".encode())
            with self.path.open("rb") as stream:
                sums.update(stream.read(1_000_000))
        for name in self.names:
            size = (self.path / name).stat().st_size if self.path.is_dir() else 0
            sums.update(f"{name}\0{size}\n".encode())
        return sums.hexdigest()


def table(stream: IO[str], where: str, report: Report, delimiter: str = "\t") -> Iterator[dict[str, str]]:
    """Rows of a delimited file with a header; a row of the wrong length is reported and left out."""
    if delimiter == "\t":
        reader = csv.reader(stream, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(stream, delimiter=delimiter)
    header = next(reader, None)
    if header is None:
        raise BadRelease(f"{where}: empty")
    try:
        for row in reader:
            report.rows += 1
            if len(row) == len(header):
                yield dict(zip(header, row, strict=True))
            elif row:
                report.defect(f"{where}:{reader.line_num}", f"{len(row)} fields, {len(header)} expected")
    except (csv.Error, EOFError, zipfile.BadZipFile, OSError) as error:
        raise BadRelease(f"{where}: damaged or truncated after row {report.rows}") from error


def _checked(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
    if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_PLAIN:
        raise BadRelease(f"{path.name}: too many or too large members")
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        if ".." in parts or member.filename.startswith(("/", "\\")):
            raise BadRelease(f"{path.name}: a member's name leaves the archive")
        if member.file_size > MAX_RATIO * max(1, member.compress_size) and member.file_size > 10_000_000:
            raise BadRelease(f"{path.name}: a member is packed too tightly to be real")
    return sorted(m.filename for m in members)

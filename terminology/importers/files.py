"""Files of a release: folders, zip or tar archives, read line by line with caps against bombs and path tricks."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from terminology.importers.rows import BadRelease, Report

MAX_RATIO = 200  # compressed to plain; real releases stand at 5 to 15
MAX_PLAIN = 20_000_000_000
MAX_MEMBERS = 50_000
_DAMAGED = (EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, OSError)


class Files:
    """The members of a folder or archive, by name; nothing is ever unpacked to disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind = "folder" if path.is_dir() else "file"
        if path.is_dir():
            self.names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        elif zipfile.is_zipfile(path):
            self.kind, self.names = "zip", _checked_zip(path)
        elif path.is_file() and path.name.lower().endswith((".tgz", ".tar.gz", ".tar")):
            self.kind, self.names = "tar", _checked_tar(path)
        elif path.is_file() and path.suffix.lower() == ".zip":
            raise BadRelease(f"{path.name}: no zip archive; damaged or not fully downloaded")
        elif path.is_file():
            self.names = [path.name]
        else:
            raise BadRelease(f"{path.name}: no such file, folder or archive")
        self._zip = zipfile.ZipFile(path) if self.kind == "zip" else None

    def matching(self, *parts: str, suffix: str = "") -> list[str]:
        """Names whose last part contains every one of `parts`, sorted."""
        return [
            n for n in self.names if n.endswith(suffix) and all(p in PurePosixPath(n).name for p in parts)
        ]

    @contextmanager
    def open(self, name: str) -> Iterator[IO[str]]:
        """Text of a member, UTF-8 with an optional byte order mark. Undecodable bytes become U+FFFD."""
        if self.kind in ("folder", "file"):
            place = self.path / name if self.kind == "folder" else self.path
            with place.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
                yield stream
        elif self._zip is not None:
            with self._zip.open(name) as raw:
                yield io.TextIOWrapper(raw, "utf-8-sig", errors="replace", newline="")
        else:
            with tarfile.open(self.path) as archive:
                raw = archive.extractfile(name)  # type: ignore[assignment]
                yield io.TextIOWrapper(raw, "utf-8-sig", errors="replace", newline="")

    def each(self, suffix: str, limit: int) -> Iterator[tuple[str, str | None]]:
        """(name, text) of every member that ends with `suffix`, in one pass; None for one larger than `limit`.

        Raises BadRelease when the archive breaks off."""
        try:
            if self.kind == "tar":
                yield from self._each_of_tar(suffix, limit)
                return
            for name in self.matching(suffix=suffix):
                with self.open(name) as stream:
                    text = stream.read(limit + 1)
                yield name, (text if len(text) <= limit else None)
        except _DAMAGED as error:
            raise BadRelease(f"{self.path.name}: damaged or truncated") from error

    def _each_of_tar(self, suffix: str, limit: int) -> Iterator[tuple[str, str | None]]:
        with _tar(self.path) as archive:
            for member in archive:
                if not member.isfile() or not member.name.endswith(suffix):
                    continue
                if member.size > limit:
                    yield member.name, None
                    continue
                raw = archive.extractfile(member)
                yield member.name, raw.read().decode("utf-8-sig", "replace") if raw else ""

    def checksum(self) -> str:
        """sha256 over names and sizes (a release of 5 GB is not read twice)."""
        sums = hashlib.sha256()
        if self.path.is_file():
            sums.update(f"{self.path.stat().st_size}".encode())
            with self.path.open("rb") as stream:
                sums.update(stream.read(1_000_000))
        for name in self.names:
            place = self.path / name
            sums.update(f"{name}\0{place.stat().st_size if self.kind == 'folder' else 0}\n".encode())
            if self.kind == "folder":
                with place.open("rb") as stream:
                    sums.update(stream.read(4_096))
        return sums.hexdigest()


def fields_of(files: Files, name: str, count: int, report: Report) -> Iterator[list[str]]:
    """Rows of a tab-separated file without quoting and with a header, as lists of `count` fields.

    Raises BadRelease when the header has another number of columns (another table) or the file breaks off."""
    number = 1
    try:
        with files.open(name) as stream:
            header = stream.readline().rstrip("\r\n").split("\t")
            if len(header) != count:
                raise BadRelease(f"{name}: {len(header)} columns, {count} expected")
            for number, line in enumerate(stream, 2):
                parts = line.split("\t")
                if len(parts) == count:
                    parts[-1] = parts[-1].rstrip("\r\n")
                    yield parts
                elif line.strip():
                    report.defect(f"{name}:{number}", f"{len(parts)} fields, {count} expected")
        report.rows += number - 1
    except _DAMAGED as error:
        raise BadRelease(f"{name}: damaged or truncated after line {number}") from error


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
    except (csv.Error, *_DAMAGED) as error:
        raise BadRelease(f"{where}: damaged or truncated after row {report.rows}") from error


def _checked_zip(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
    _check_names(path, [m.filename for m in members], sum(m.file_size for m in members))
    for member in members:
        if member.file_size > MAX_RATIO * max(1, member.compress_size) and member.file_size > 10_000_000:
            raise BadRelease(f"{path.name}: a member is packed too tightly to be real")
    return sorted(m.filename for m in members)


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar archive as a stream, its compressed data checked to the end (tarfile alone takes a torn one as whole)."""
    with path.open("rb") as raw, ExitStack() as stack:
        plain = path.suffix.lower() == ".tar"
        stream = raw if plain else stack.enter_context(gzip.GzipFile(fileobj=raw))
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            yield archive
        while stream.read(1 << 20):
            pass


def _checked_tar(path: Path) -> list[str]:
    names: list[str] = []
    total, packed = 0, path.stat().st_size
    try:
        with _tar(path) as archive:
            for member in archive:
                total += member.size
                if total > MAX_RATIO * max(packed, 50_000):
                    raise BadRelease(f"{path.name}: a member is packed too tightly to be real")
                if member.isfile():
                    names.append(member.name)
                _check_names(path, [member.name], total, len(names))
    except _DAMAGED as error:
        raise BadRelease(f"{path.name}: damaged or truncated archive") from error
    return sorted(names)


def _check_names(path: Path, names: list[str], total: int, members: int = 0) -> None:
    if max(len(names), members) > MAX_MEMBERS or total > MAX_PLAIN:
        raise BadRelease(f"{path.name}: too many or too large members")
    for name in names:
        if ".." in PurePosixPath(name.replace("\\", "/")).parts or name.startswith(("/", "\\")):
            raise BadRelease(f"{path.name}: a member's name leaves the archive")

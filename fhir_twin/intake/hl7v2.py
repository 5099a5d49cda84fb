"""HL7 v2 tokenizer: bytes -> segments, fields, repetitions, components, subcomponents, with escapes undone.

Tolerant where the meaning is plain (line ends, missing trailing fields, blank lines, a line broken inside a field,
unknown segments), strict where it is not (delimiters). Nothing is looked up and nothing is guessed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from fhir_twin.errors import InvalidInput, TooCostly
from fhir_twin.intake.hl7v2_charset import decode

MAX_BYTES = 32 * 1024 * 1024
MAX_SEGMENTS = 200_000
DELETE = '""'
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}\Z")
_ENDS = re.compile(r"\r\n?|\n")
_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2}){1,2000})\Z")
_SPACES = re.compile(r"\.(?:sp|sk)\s?(\d{1,2})?\Z")
_FORMAT = re.compile(r"\.(?:in|ti|fi|nf|ce)\s?[+-]?\d{0,3}\Z")
_HIGHLIGHT = frozenset({"H", "N"})


@dataclass(frozen=True, slots=True)
class Delimiters:
    """MSH-1 and MSH-2; "" for one that the sender does not use."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""


def read_delimiters(line: str) -> Delimiters:
    """Delimiters of an MSH, BHS or FHS line. Raises InvalidInput when they cannot be told apart."""
    if len(line) < 8:
        raise InvalidInput("the header segment ends before its delimiters")
    sep = line[3]
    end = line.find(sep, 4)
    others = line[4 : end if end >= 0 else None]
    if not 1 <= len(others) <= 5:
        raise InvalidInput("MSH-2 must name one to five delimiters")
    signs = sep + others
    if len(set(signs)) != len(signs):
        raise InvalidInput("the delimiters in MSH-1 and MSH-2 are not all different")
    if any(s.isalnum() or s.isspace() or s == '"' or not s.isprintable() for s in signs):
        raise InvalidInput("MSH-1 and MSH-2 name delimiters that cannot delimit")
    padded = (*others, "", "", "", "", "")
    return Delimiters(sep, padded[0], padded[1], padded[2], padded[3], padded[4])


@dataclass(slots=True, repr=False)
class Reader:
    """Undoes escapes; remembers which kinds it could not undo."""

    delimiters: Delimiters
    codec: str = "utf-8"
    flags: set[str] = field(default_factory=set)

    def text(self, raw: str) -> str:
        """Plain text of a raw component. What is no known escape stays as it is written."""
        sign = self.delimiters.escape
        if not sign or sign not in raw:
            return raw
        parts = raw.split(sign)
        if len(parts) % 2 == 0:  # a lone escape sign: the last piece is no sequence
            self.flags.add("escape")
            parts[-2:] = [parts[-2] + sign + parts[-1]]
        return "".join(p if i % 2 == 0 else self._undo(p) for i, p in enumerate(parts))

    def _undo(self, body: str) -> str:
        d = self.delimiters
        plain = {
            "F": d.field,
            "S": d.component,
            "T": d.subcomponent,
            "R": d.repetition,
            "E": d.escape,
            "P": d.truncation,
        }
        if body in plain:
            return plain[body] or body
        if body in (".br", ".BR"):
            return "\n"
        if body in _HIGHLIGHT or _FORMAT.match(body):
            return ""
        if spaces := _SPACES.match(body):
            count = int(spaces[1] or 1)
            return "\n" * count if body.startswith(".sp") else " " * count
        if found := _HEX.match(body):
            return self._bytes(bytes.fromhex(found[1]), body)
        self.flags.add("escape")
        return f"{d.escape}{body}{d.escape}"

    def _bytes(self, data: bytes, body: str) -> str:
        text = "\0"
        wide = len(data) % 2 == 0 and 0 in data  # two bytes a character, as some senders write \\X00E4\\
        for codec in ("utf-16-be",) if wide else (self.codec, "cp1252", "latin-1"):
            try:
                text = data.decode(codec)
            except UnicodeDecodeError:
                continue
            break
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if any(ord(sign) < 32 and sign not in "\n\t" for sign in text):
            self.flags.add("escape")
            return f"{self.delimiters.escape}{body}{self.delimiters.escape}"
        return text


class Rep:
    """One repetition of a field. Components and subcomponents count from 1; absent is ""."""

    __slots__ = ("_parts", "raw", "reader")

    def __init__(self, raw: str, reader: Reader) -> None:
        self.raw = raw
        self.reader = reader
        sign = reader.delimiters.component
        self._parts = raw.split(sign) if sign else [raw]

    def c(self, n: int) -> str:
        """Text of component n: its first subcomponent, as later versions extend a component by subcomponents."""
        return self.s(n, 1)

    def s(self, n: int, m: int) -> str:
        if n > len(self._parts):
            return ""
        raw, sign = self._parts[n - 1], self.reader.delimiters.subcomponent
        if not raw or not sign or sign not in raw:
            found = raw if m == 1 else ""
        else:
            pieces = raw.split(sign)
            found = pieces[m - 1] if m <= len(pieces) else ""
        return "" if found == DELETE else self.reader.text(found).strip()

    def whole(self, n: int) -> str:
        """Component n with its subcomponents: text that holds an unescaped & by mistake is not cut."""
        raw = self._parts[n - 1] if n <= len(self._parts) else ""
        return "" if raw == DELETE else self.reader.text(raw).strip()

    def all(self) -> str:
        """The repetition as one text, delimiters included: for text types whose sender forgot to escape."""
        return "" if self.raw == DELETE else self.reader.text(self.raw).strip()

    @property
    def deleted(self) -> bool:
        return self.raw == DELETE

    def __bool__(self) -> bool:
        return bool(
            self.raw.strip(self.reader.delimiters.component + self.reader.delimiters.subcomponent + " ")
        ) and (not self.deleted)


class Segment:
    """name: "PID". index: place in the message, from 1. Fields count from 1 as in the standard."""

    __slots__ = ("_fields", "_nothing", "_reps", "index", "name", "reader")

    def __init__(self, line: str, index: int, reader: Reader) -> None:
        self.name = line[:3]
        self.index = index
        self.reader = reader
        fields = line.split(reader.delimiters.field)
        if self.name in ("MSH", "BHS", "FHS"):
            fields.insert(1, reader.delimiters.field)
        self._fields = fields
        self._reps: dict[int, list[Rep]] = {}  # fields are asked for again and again
        self._nothing = Rep("", reader)

    def raw(self, n: int) -> str:
        return self._fields[n] if n < len(self._fields) else ""

    def reps(self, n: int) -> list[Rep]:
        """Repetitions that hold something."""
        if n not in self._reps:
            self._reps[n] = self._split(n)
        return self._reps[n]

    def _split(self, n: int) -> list[Rep]:
        raw, sign = self.raw(n), self.reader.delimiters.repetition
        if not raw or (self.name == "MSH" and n <= 2):
            return [Rep(raw, self.reader)] if raw else []
        pieces = raw.split(sign) if sign else [raw]
        return [rep for piece in pieces if (rep := Rep(piece, self.reader))]

    def first(self, n: int) -> Rep:
        return next(iter(self.reps(n)), self._nothing)

    def v(self, n: int, component: int = 1) -> str:
        """Text of a component of the first repetition."""
        return self.first(n).c(component)

    def deleted(self, n: int) -> bool:
        """The sender asks to empty this field (`""`); an absent field asks for nothing."""
        return self.raw(n).strip() == DELETE


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """segments in order, MSH first. flags: "charset-wrong", "broken-line", "escape" ... grow while fields are read."""

    segments: tuple[Segment, ...]
    reader: Reader

    @property
    def msh(self) -> Segment:
        return self.segments[0]

    def all(self, name: str) -> list[Segment]:
        return [s for s in self.segments if s.name == name]

    def one(self, name: str) -> Segment:
        """The first such segment, or an empty one."""
        return next((s for s in self.segments if s.name == name), Segment(name, 0, self.reader))

    @property
    def code(self) -> str:
        return self.msh.v(9, 1).upper()

    @property
    def event(self) -> str:
        """MSH-9.2, else the end of MSH-9.3 ("ADT_A01"), else EVN-1."""
        return (self.msh.v(9, 2) or self.one("EVN").v(1)).upper()

    @property
    def control_id(self) -> str:
        return self.msh.first(10).all()

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(sorted(self.reader.flags))


def parse_message(data: bytes, *, max_bytes: int = MAX_BYTES) -> Message:
    """One message. Raises InvalidInput (no MSH, unusable delimiters, unreadable characters) and TooCostly."""
    if len(data) > max_bytes:
        raise TooCostly("the message is larger than this service reads")
    decoded = decode(data)
    lines = list(_lines(decoded.text))
    if not lines or not lines[0].startswith("MSH"):
        raise InvalidInput("the message does not begin with MSH")
    reader = Reader(read_delimiters(lines[0]), decoded.codec, set(decoded.flags))
    joined = list(_joined(lines, reader))
    if len(joined) > MAX_SEGMENTS:
        raise TooCostly("the message has more segments than this service reads")
    if any(line.startswith("MSH") for line in joined[1:]):
        raise InvalidInput("a second MSH stands inside the message")
    return Message(tuple(Segment(line, i, reader) for i, line in enumerate(joined, 1)), reader)


def _lines(text: str) -> Iterator[str]:
    for line in _ENDS.split(text.strip("\x0b\x1c\ufffd\r\n \t")):
        if line.strip():
            yield line.lstrip(" \t") if line[:3].strip() != line[:3] else line


def _joined(lines: list[str], reader: Reader) -> Iterator[str]:
    """A line that begins no segment goes on with the one before it: its sender broke a field in two."""
    held = ""
    sep = reader.delimiters.field
    for line in lines:
        if _NAME.match(line[:3]) and (len(line.rstrip()) == 3 or line[3] == sep):
            if held:
                yield held
            held = line
        else:
            reader.flags.add("broken-line")
            held += "\n" + line
    if held:
        yield held


def split_batch(data: bytes) -> list[bytes]:
    """The messages of a file: bare, or in FHS/BHS batches, or framed as for MLLP. Envelope segments are left out.

    What stands before the first MSH (other than envelope) is kept as a message of its own, so that it is refused and
    not lost."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:8].count(0) >= 3:
        try:
            data = decode(data).text.encode("utf-8")
        except InvalidInput:
            return [data]  # refused as one message, with the reason
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\x1c", b"\r").replace(b"\x0b", b"\r")
    found: list[list[bytes]] = []
    for line in re.split(rb"\r\n?|\n", text):
        name = line.lstrip()[:3]
        if name in (b"FHS", b"BHS", b"BTS", b"FTS") or not line.strip():
            continue
        if name == b"MSH" or not found:
            found.append([])
        found[-1].append(line)
    return [b"\r".join(lines) + b"\r" for lines in found]

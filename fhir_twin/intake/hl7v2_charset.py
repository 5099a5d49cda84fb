"""MSH-18 (table 0211) to text. A declaration that lies is noticed: the text is kept, and the finding is said."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from fhir_twin.errors import InvalidInput

# HL7 table 0211 -> Python codec. Unknown names fall back to UTF-8, then Windows-1252, and say so.
CODECS = {
    "ASCII": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "ISO IR6": "ascii",
    "ISO IR14": "iso2022_jp",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "CNS 11643-1992": "big5hkscs",
    "BIG-5": "big5",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UNICODE UTF-16": "utf-16",
    "UNICODE UTF-32": "utf-32",
    "UTF-8": "utf-8",  # not in the table, but what many senders write
    "UTF8": "utf-8",
    "ISO-8859-1": "iso8859-1",
    "ISO8859-1": "iso8859-1",
    "WINDOWS-1252": "cp1252",
}
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True, repr=False)
class Decoded:
    """text: without control characters. flags: what was found wrong ("charset-wrong", "charset-unknown", "control")."""

    text: str
    codec: str
    flags: tuple[str, ...] = ()


def decode(data: bytes) -> Decoded:
    """The text of one message by its byte order mark, else by MSH-18, else as UTF-8 or Windows-1252.

    Raises InvalidInput when no reading gives a text that begins with MSH."""
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return _cleaned(_strict(data, codec), codec, ())
    if data[:8].count(0) >= 3:  # UTF-16 without its mark
        codec = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
        return _cleaned(_strict(data, codec), codec, ())
    declared = _declared(data)
    codec = CODECS.get(declared, "")
    flags: list[str] = []
    if declared and not codec:
        flags.append("charset-unknown")
    for attempt in dict.fromkeys((codec or "utf-8", "utf-8", "cp1252", "iso8859-1")):
        try:
            text = data.decode(attempt)
        except UnicodeDecodeError:
            flags.append("charset-wrong")
            continue
        if attempt == "ascii" and "\x1b" in text:
            continue
        plain = not codec and not declared and attempt != "utf-8"
        return _cleaned(text, attempt, tuple(dict.fromkeys(flags)) if declared or plain else ())
    raise InvalidInput("the message's character set cannot be read")


def _declared(data: bytes) -> str:
    """MSH-18 of the raw bytes, its first repetition; "" when there is none."""
    line = re.split(rb"[\r\n]", data.lstrip(b"\x0b\r\n \t")[:4096], maxsplit=1)[0]
    if len(line) < 8 or not line.startswith(b"MSH"):
        return ""
    fields = line.split(line[3:4])
    if len(fields) < 18:
        return ""
    repeats = fields[1][1:2]
    value = fields[17].split(repeats)[0] if repeats else fields[17]
    return value.decode("ascii", "replace").strip().upper()


def _strict(data: bytes, codec: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        raise InvalidInput("the message's character set cannot be read") from None


def _cleaned(text: str, codec: str, flags: tuple[str, ...]) -> Decoded:
    text = text.removeprefix("\ufeff")
    clean, found = _CONTROL.subn("\ufffd", text)
    return Decoded(clean, codec, (*flags, "control") if found else flags)

"""The tokenizer: delimiters, escapes, repetitions, line ends, character sets, batches (V2-1, V2-2, H1, rows 56, 57)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from v2_messages import PID, message

from fhir_twin.errors import InvalidInput, TooCostly
from fhir_twin.intake.hl7v2 import parse_message, split_batch

MSH = r"MSH|^~\&|A|B|C|D|20260301||ADT^A08|1|P|2.5"


def _parse(text: str, codec: str = "utf-8"):
    return parse_message(text.encode(codec))


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r", "\n\n"])
def test_any_line_end_is_read(end: str) -> None:
    found = _parse(end.join((MSH, PID, "ZZZ|x", "")))
    assert [s.name for s in found.segments] == ["MSH", "PID", "ZZZ"]


def test_components_subcomponents_and_repetitions() -> None:
    pid = _parse(f"{MSH}\rPID|1||1&2^b~3^^^H&1.2.3&ISO").one("PID")
    assert [r.c(1) for r in pid.reps(3)] == ["1", "3"]
    assert (pid.first(3).s(1, 2), pid.reps(3)[1].s(4, 2), pid.v(99), pid.first(3).c(9)) == (
        "2",
        "1.2.3",
        "",
        "",
    )


def test_own_delimiters_are_used() -> None:
    found = _parse("MSH#$*@!#A#B\rPID#1##7$x!y*8")
    assert [r.c(1) for r in found.one("PID").reps(3)] == ["7", "8"]
    assert found.one("PID").first(3).s(2, 2) == "y"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f"),
        (r"one\.br\two", "one\ntwo"),
        (r"\H\bold\N\ and \.in+4\x", "bold and x"),
        (r"\X41\\X0D0A\b", "A\nb"),
        (r"\XC3A4\x", "äx"),
        (r"M\XFC\ller J\X00F6\rg", "Müller Jörg"),
        (r"50 \% \Q\ z", r"50 \% \Q\ z"),
        (r"\X00\b", r"\X00\b"),
        (r"lone \ here", r"lone \ here"),
    ],
)
def test_escapes(raw: str, text: str) -> None:
    """Row 57: what is not known stays as it is written, and is flagged."""
    found = _parse(f"{MSH}\rNTE|1||{raw}")
    assert found.one("NTE").first(3).all() == text
    assert ("escape" in found.flags) == ("\\" in text and raw != r"a\F\b\S\c\T\d\R\e\E\f")


def test_delete_is_not_empty() -> None:
    pid = _parse(f'{MSH}\rPID|1||""||""^x').one("PID")
    assert (pid.deleted(3), pid.deleted(4), pid.v(5), pid.v(5, 2)) == (True, False, "", "x")


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("8859/1", "latin-1"),
        ("UNICODE UTF-8", "utf-8"),
        ("", "utf-8"),
        ("8859/15", "iso8859-15"),
        ("GB 18030-2000", "gb18030"),
    ],
)
def test_declared_character_sets(declared: str, codec: str) -> None:
    found = _parse(f"{MSH}||||||{declared}\rPID|||1||MÜLLER^ZOË", codec)
    assert (found.one("PID").v(5), found.flags) == ("MÜLLER", ())


def test_a_lying_character_set_is_read_and_flagged() -> None:
    found = _parse(f"{MSH}||||||UNICODE UTF-8\rPID|||1||MÜLLER", "latin-1")
    assert found.one("PID").v(5) == "MÜLLER"
    assert "charset-wrong" in found.flags


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
def test_unicode_forms_by_their_marks(codec: str) -> None:
    assert _parse(f"{MSH}\rPID|||1||MÜLLER", codec).one("PID").v(5) == "MÜLLER"


@pytest.mark.parametrize(
    "head",
    [
        "MSH",
        "MSH|",
        "MSH||||",
        "MSH|^^~&|A",
        "MSH|aB^&|A",
        "MSH|||||",
        "PID|1",
        "",
        "MSH|^~\\&#$|A|",
        "\x00\x01",
    ],
)
def test_unusable_headers_are_refused(head: str) -> None:
    with pytest.raises(InvalidInput):
        _parse(head + "\rPID|1||1")


def test_too_large_is_refused() -> None:
    with pytest.raises(TooCostly):
        parse_message(message(PID, "NTE|1||" + "x" * 5000), max_bytes=1000)


def test_a_line_broken_inside_a_field_is_joined() -> None:
    found = _parse(f"{MSH}\rNTE|1||first\nsecond part\r\nPID|1||5")
    assert [s.name for s in found.segments] == ["MSH", "NTE", "PID"]
    assert (found.one("NTE").first(3).all(), "broken-line" in found.flags) == ("first\nsecond part", True)


def test_batches_are_split_and_nothing_is_lost() -> None:
    data = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + message(PID) + message(PID, number="M2") + b"BTS|2\rFTS|1\r"
    assert [parse_message(m).control_id for m in split_batch(data)] == ["M1", "M2"]
    framed = b"\x0b" + message(PID) + b"\x1c\r\x0b" + message(PID, number="M2") + b"\x1c\r"
    assert len(split_batch(framed)) == 2
    assert len(split_batch(b"PID|1\r" + message(PID))) == 2
    assert split_batch(b"\xfe\xff(") == [b"\xfe\xff("]


def test_two_headers_in_one_frame_are_refused() -> None:
    with pytest.raises(InvalidInput):
        parse_message(message(PID) + message(PID))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_whatever_is_escaped_comes_back(text: str) -> None:
    plain = "".join(c for c in text if c.isprintable() or c == " ").strip()
    pairs = (("\\", "E"), ("|", "F"), ("^", "S"), ("&", "T"), ("~", "R"))
    raw = "".join(next((f"\\{n}\\" for s, n in pairs if s == c), c) for c in plain)
    assert _parse(f"{MSH}\rNTE|1||{raw}|end").one("NTE").first(3).all() == plain


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_end_in_anything_but_a_message_or_a_refusal(data: bytes) -> None:
    for body in (data, b"MSH|^~\\&|" + data, message(PID)[:-1] + data):
        try:
            found = parse_message(body)
        except InvalidInput:
            continue
        assert all(s.v(3) is not None for s in found.segments)

"""security.md 5.3, rows 34 to 38: JSON that must be refused, with a reason and without a trace."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.errors import InvalidInput, TooCostly
from fhir_twin.fhir.parse import MAX_DEPTH, parse_json


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested deeper"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper"),
        ('{"extension":[' * 150 + "{}" + "]}" * 150, "nested deeper"),
        ('{"value": NaN}', "NaN and Infinity"),
        ('{"value": -Infinity}', "NaN and Infinity"),
        ('{"value": 1e400}', "too large"),
        ('{"value": ' + "9" * 5000 + "}", "too large"),
        ('{"value": 0.' + "9" * 5000 + "}", "too large"),
        ('{"status": "final", "status": "cancelled"}', "same key twice"),
        ('{"a": {"b": 1, "b": 1}}', "same key twice"),
        ('{"text": "\\ud800"}', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ('{"a": 1} {"b": 2}', "Extra data: line 1 column 10"),
        ("", "not valid JSON"),
        ("{'a': 1}", "not valid JSON"),
        ('{"a": 1,}', "not valid JSON"),
    ],
)
def test_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse_json(text)


def test_bytes_that_are_not_utf8_name_the_place() -> None:
    with pytest.raises(InvalidInput, match="not UTF-8 at byte 5"):
        parse_json(b'{"a":\xff}')


def test_too_large_is_said_before_parsing() -> None:
    with pytest.raises(TooCostly, match="larger than 10 bytes"):
        parse_json(b'{"a": 123456}', max_bytes=10)


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert parse_json('\ufeff{"a": 1}') == {"a": 1}


def test_digits_are_kept() -> None:
    """MDL-6 and row 36: 7.10 is not 7.1."""
    value = parse_json('{"value": 7.10}')["value"]
    assert isinstance(value, Decimal)
    assert str(value) == "7.10"


def test_surrogate_pairs_are_letters() -> None:
    assert parse_json('{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


def test_messages_quote_nothing() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_json('{"name": "CANARY", "name": "CANARY"}')
    assert "CANARY" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_the_limit_itself_is_accepted() -> None:
    assert isinstance(parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH), list)
    with pytest.raises(InvalidInput, match="nested deeper"):
        parse_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_same_as_the_standard_parser_on_good_json(value: object) -> None:
    text = json.dumps(value)
    if "\\ud" not in text or not any(0xD800 <= ord(c) < 0xE000 for c in str(value)):
        assert parse_json(text) == json.loads(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse_json(data)
    except InvalidInput:
        return

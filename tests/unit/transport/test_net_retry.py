"""F3, performance.md 4.6: what is tried again, and Retry-After in every form seen."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_twin.transport.retry import MAX_RETRY_AFTER, RetryPolicy, parse_retry_after

NOW = 1_700_000_000.0


def _date(offset: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + offset, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("0", 0.0),
        (_date(30), 30.0),
        (_date(-30), 0.0),
        (str(int(NOW + 12)), 12.0),
        (str(int((NOW + 12) * 1000)), 12.0),
        (str(int(NOW - 12)), 0.0),
        ("Wed, 21 Oct 2099 07:28:00", None),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("1e400", None),
        (None, None),
        ("99999", 99999.0),
    ],
)
def test_retry_after_forms(text: str | None, seconds: float | None) -> None:
    found = parse_retry_after(text, NOW)
    if text and "2099" in text:
        assert found is not None and found > 1e9
    else:
        assert found == seconds


@settings(deadline=None)
@given(st.text(max_size=40))
def test_retry_after_never_raises_nor_is_negative(text: str) -> None:
    found = parse_retry_after(text, NOW)
    assert found is None or (found >= 0 and math.isfinite(found))


@settings(deadline=None)
@given(st.integers(1, 50), st.none() | st.floats(0, 1e12), st.floats(0, 0.999))
def test_wait_is_bounded_and_never_busy(tried: int, asked: float | None, random: float) -> None:
    policy = RetryPolicy()
    wait = policy.wait(tried, asked, random)
    assert policy.first_wait / 2 <= wait <= MAX_RETRY_AFTER
    if asked is not None:
        assert wait >= min(asked, MAX_RETRY_AFTER) or math.isclose(wait, MAX_RETRY_AFTER)


def test_backoff_grows_and_has_jitter() -> None:
    policy = RetryPolicy()
    waits = [policy.wait(n, None, 0.5) for n in range(1, 6)]
    assert waits == sorted(waits) and waits[4] > 8 * waits[0]
    assert policy.wait(3, None, 0.0) < policy.wait(3, None, 0.99)


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504, 0, -1])
def test_safe_calls_are_tried_again(status: int) -> None:
    policy = RetryPolicy(attempts=4)
    assert all(policy.again(status, "safe", n) for n in range(1, 5))
    assert not policy.again(status, "safe", 5)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 409, 410, 412, 413, 422, 501, -2])
def test_permanent_answers_are_not(status: int) -> None:
    assert not RetryPolicy().again(status, "safe", 1)


def test_500_once_more_only() -> None:
    assert RetryPolicy().again(500, "safe", 1)
    assert not RetryPolicy().again(500, "safe", 2)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 0, -1])
def test_a_plain_post_is_never_repeated(status: int) -> None:
    assert not RetryPolicy().again(status, "never", 1)


def test_after_an_unknown_outcome_a_versioned_write_is_not_repeated() -> None:
    """performance.md 4.5: a timeout is an unknown outcome; read back before sending again."""
    policy = RetryPolicy()
    assert (
        policy.again(429, "if-refused", 1)
        and policy.again(503, "if-refused", 1)
        and policy.again(-1, "if-refused", 1)
    )
    assert not any(policy.again(s, "if-refused", 1) for s in (0, 408, 500, 502, 504))

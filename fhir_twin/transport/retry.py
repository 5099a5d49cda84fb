"""When to try again and how long to wait: pure rules, no clock and no sleeping of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

Repeat = Literal["safe", "if-refused", "never"]
"""safe: repeating does no harm (reads, PUT by id, conditional writes). if-refused: only when the server certainly
did nothing (429, 503, no connection); after a timeout the outcome is unknown. never: a plain POST."""

MAX_RETRY_AFTER = 300.0
_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """attempts: tries after the first. budget: seconds of waiting that one call may spend in all. within: seconds from
    the beginning of a call after which no further try begins, for callers who are themselves waited for. A 500 is
    often a bug that stays (F3), so it is tried once more only."""

    attempts: int = 4
    budget: float = 300.0
    first_wait: float = 0.5
    max_wait: float = 30.0
    within: float = math.inf

    def again(self, status: int, repeat: Repeat, tried: int) -> bool:
        """Whether to try again after `tried` tries. status: 0 no answer, -1 no connection, -2 hopeless."""
        if repeat == "never" or tried > self.attempts:
            return False
        if repeat == "if-refused":
            return status in _REFUSED or status == -1
        if status == 500:
            return tried <= 1
        return status in _RETRY or status in (0, -1)

    def wait(self, tried: int, retry_after: float | None, random: float) -> float:
        """Seconds to wait before the next try. What the server asks for wins, up to 5 minutes; otherwise
        exponential backoff with full jitter over its upper half. random: uniform in [0, 1)."""
        grown = min(self.max_wait, self.first_wait * 2.0 ** (tried - 1))
        own = grown * (0.5 + 0.5 * random)
        if retry_after is None:
            return own
        return min(max(retry_after, min(own, self.first_wait)), MAX_RETRY_AFTER)


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Seconds from `now` (Unix time) that a Retry-After header asks for; None when it says nothing usable.

    Takes seconds, an HTTP date, and Unix times in seconds or milliseconds (seen in the wild). A date in the past
    gives 0; garbage, negative and non-finite numbers give None."""
    if not text:
        return None
    stripped = text.strip()
    try:
        number = float(stripped)
    except ValueError:
        return _from_date(stripped, now)
    if not math.isfinite(number) or number < 0:
        return None
    if number > 1e11:
        number = number / 1000
    if number > 1e9:
        return max(0.0, number - now)
    return number


def _from_date(text: str, now: float) -> float | None:
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    try:
        return max(0.0, when.timestamp() - now)
    except (OverflowError, OSError, ValueError):
        return None

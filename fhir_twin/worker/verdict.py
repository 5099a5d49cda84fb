"""What an error means for the work that met it: try again (when?), or put it aside. Pure rules (promise 4).

Permanent refusals (400, 404, 409, 412, 422) are not tried again. A server that cannot be reached is not the work's
fault: that costs no attempt, only patience, and opens the circuit so that nobody hammers a server that is down.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_twin.errors import Busy, LoginRequired, StoreError, TwinError, UpstreamError

_DOWN = frozenset({0, 408, 425, 429, 502, 503, 504})
LONGEST_WISH = 3600.0  # a Retry-After beyond this is not believed


@dataclass(frozen=True, slots=True)
class Patience:
    """attempts: tries that count, of one piece of work. first, longest: seconds of backoff. outage: seconds of
    waiting in all after which even an unreachable server makes it a dead letter."""

    attempts: int = 8
    first: float = 1.0
    longest: float = 900.0
    outage: float = 72 * 3600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """wait: seconds before the next try, None for a dead letter. down: the server cannot be used by anybody."""

    wait: float | None
    down: bool = False


def judge(error: Exception, tries: int, waited: float, patience: Patience, random: float) -> Verdict:
    """tries: of this work, this one included. waited: seconds of backoff so far. random: uniform in [0, 1)."""
    down = is_down(error)
    mended = down or isinstance(error, UpstreamError | Busy) or not isinstance(error, TwinError)
    if not mended or isinstance(error, StoreError):
        return Verdict(None)
    if (waited >= patience.outage) if down else (tries >= patience.attempts):
        return Verdict(None, down)
    grown = min(patience.longest, patience.first * 2.0 ** min(tries - 1, 30))
    wait = grown * (0.5 + 0.5 * random)  # full jitter over the upper half
    wish = getattr(error, "retry_after", None)
    if isinstance(wish, float | int) and wish >= 0:
        wait = min(max(float(wish), min(wait, patience.first)), LONGEST_WISH)
    return Verdict(wait, down)


def is_down(error: Exception) -> bool:
    """No other work would fare better: no answer, overload, a login that is refused."""
    if isinstance(error, LoginRequired):
        return True
    return isinstance(error, UpstreamError) and error.http_status in _DOWN

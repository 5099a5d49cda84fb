"""Canonical urls and business versions: "url|version", newest first, and patterns such as "1.x" (FHIR-43519)."""

from __future__ import annotations

from collections.abc import Iterable

WILD = ("x", "X", "*")


def split(canonical: str) -> tuple[str, str]:
    """("url", "version" or "") of "url|version"; a fragment stays with the url.

    The terms in an expression constraint (?fhir_vs=ecl/<< 1234 |term|) are no version."""
    if "?fhir_vs=ecl" in canonical:
        return canonical, ""
    url, _, version = canonical.partition("|")
    return url, version


def joined(url: str, version: str = "") -> str:
    return f"{url}|{version}" if version else url


def order(version: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key: numbers by value, words behind numbers, a pre-release before its release."""
    release, _, early = version.partition("-")
    parts = [
        (1, int(p), "") if p.isascii() and p.isdigit() and len(p) < 20 else (2, 0, p)
        for p in release.split(".")
    ]
    return (*parts, (0, 0, early)) if early and parts[0][0] == 1 else (*parts, (0, 1, ""))


def fits(version: str, wanted: str) -> bool:
    """Whether `version` is the one wanted; "1.x" and "1.*.0" are patterns over parts, "" fits all."""
    if wanted in ("", version, "*"):
        return True
    if not is_pattern(wanted):
        return False
    have, want = version.split("."), wanted.split(".")
    if want[-1] in WILD:  # a last wildcard stands for all that follows
        want, have = want[:-1], have[: len(want) - 1] if len(have) >= len(want) else have
    return len(have) == len(want) and all(w in WILD or w == h for h, w in zip(have, want, strict=True))


def is_pattern(version: str) -> bool:
    return any(part in WILD for part in version.split("."))


def newest(versions: Iterable[str]) -> str | None:
    return max(versions, key=order, default=None)

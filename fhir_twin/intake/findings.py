"""What is found wrong in one message or document: each thing once, and not without end."""

from __future__ import annotations

from fhir_twin.errors import Issue, Severity

MOST = 1000


class Findings:
    """Issues in the order found; after `MOST` the rest is counted only."""

    def __init__(self) -> None:
        self._found: dict[Issue, None] = {}
        self._more = 0

    def add(self, severity: Severity, code: str, text: str, where: str = "") -> None:
        issue = Issue(severity, code, text, where)
        if issue in self._found:
            return
        if len(self._found) >= MOST:
            self._more += 1
        else:
            self._found[issue] = None

    def all(self) -> tuple[Issue, ...]:
        """With a last one that says how many were left out."""
        if not self._more:
            return tuple(self._found)
        return (*self._found, Issue("warning", "too-long", f"{self._more} more findings are not listed"))

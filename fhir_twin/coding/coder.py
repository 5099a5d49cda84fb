"""What this stage needs of a text coder. terminology.TextCoder is one; tests bring small ones of their own."""

from __future__ import annotations

from typing import Protocol

from terminology.decision import CodingDecision, Kind


class Coder(Protocol):
    """Codes one text. Neither method raises for any text; what cannot be coded is an abstention."""

    def code(self, text: str, kind: Kind) -> CodingDecision:
        """The one decision about `text` as a whole."""
        ...

    def code_all(self, text: str, kind: Kind) -> tuple[CodingDecision, ...]:
        """One decision per mention in `text`, in order; at least one (an abstention) for a non-empty text."""
        ...

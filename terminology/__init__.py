"""Code systems and text to codes. Stands alone: imports nothing of fhir_twin, and nothing heavy until it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from terminology.decision import Assertion, Candidate, CodingDecision, Kind

if TYPE_CHECKING:
    from terminology.opening import open_coder
    from terminology.store import Terminology, open_terminology
    from terminology.text.coder import TextCoder

__all__ = [
    "Assertion",
    "Candidate",
    "CodingDecision",
    "Kind",
    "Terminology",
    "TextCoder",
    "open_coder",
    "open_terminology",
]
_HOMES = {
    "TextCoder": "terminology.text.coder",
    "open_coder": "terminology.opening",
    "Terminology": "terminology.store",
    "open_terminology": "terminology.store",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

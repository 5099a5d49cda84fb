"""The first letter of a sentence."""

from __future__ import annotations


def capital(text: str) -> str:
    """With a capital first letter, unless the first word has its own ("eGFR", "pH")."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]

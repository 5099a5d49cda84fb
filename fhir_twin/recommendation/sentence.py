"""The first letter of a sentence."""

from __future__ import annotations


def capital(text: str) -> str:
    """With a capital first letter, unless the first word has its own ("eGFR", "pH")."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def small(title: str) -> str:
    """A title inside a sentence: its first letter small, unless an abbreviation begins it ("DASH diet", "HbA1c")."""
    first = title.split(" ")[0]
    return title if first[1:] != first[1:].lower() else title[:1].lower() + title[1:]


def bare(title: str) -> str:
    """A title after "start": without its own "Start" or "Add"."""
    return small(title.removeprefix("Start ").removeprefix("Add "))

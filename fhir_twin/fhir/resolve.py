"""Resolve references (RD-7): relative, absolute, urn:uuid, #contained, versioned, logical, conditional.

A reference resolves inside the Bundle or not at all; nothing is ever fetched. An absolute reference counts only
when it is on a base that the Bundle speaks for, so `http://elsewhere/Patient/1` is never our `Patient/1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fhir_twin.fhir import structs as s
from fhir_twin.fhir.bundle import Entry, Resource

_ID = r"[A-Za-z0-9\-.]{1,64}"
_LITERAL = re.compile(
    rf"(?:(https?://[^?#]*?)/)?([A-Z][A-Za-z]{{2,50}})/({_ID})(?:/_history/{_ID})?", re.ASCII
)
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]{2,50})\?identifier=([^|&]*)\|([^&]+)", re.ASCII)


class Index:
    """Finds the Entry a reference means. Built once per Bundle; `bases` are the servers it speaks for."""

    def __init__(self, entries: Iterable[Entry], bases: frozenset[str]) -> None:
        self._by_url: dict[str, Entry] = {}
        self._by_id: dict[tuple[str, str], Entry] = {}
        self._by_identifier: dict[tuple[str, str, str], Entry] = {}
        self._targets: dict[str, str] = {}
        self._bases = set(bases)
        everything = list(entries)
        for entry in everything:
            if entry.full_url:
                self._by_url.setdefault(entry.full_url, entry)
            if entry.id:
                self._by_id.setdefault((entry.type, entry.id), entry)
            for system, value in identifiers(entry.raw):
                self._by_identifier.setdefault((entry.type, system, value), entry)
        if not self._bases:
            self._bases |= _only_base(everything)

    def literal(self, text: str) -> tuple[str, str]:
        """(type, id) that a literal reference names, ("", "") when it names nothing in this Bundle's world."""
        entry = self._by_url.get(text)
        if entry is not None:
            return entry.type, entry.id or entry.place
        found = _LITERAL.fullmatch(text)
        if found is None or ".." in found[3] or (found[1] and found[1] not in self._bases):
            return "", ""
        return found[2], found[3]

    def find(self, reference: s.Reference | None, expected: str = "") -> Entry | None:
        """The Entry that `reference` means, None when it is not in the Bundle (or #contained).

        expected: the type a logical reference is about when it does not say so itself."""
        if reference is None:
            return None
        text = (reference.reference or "").strip()
        if text:
            conditional = _CONDITIONAL.fullmatch(text)
            if conditional is not None:
                return self._by_identifier.get((conditional[1], conditional[2], conditional[3]))
            entry = self._by_url.get(text)
            return entry if entry is not None else self._by_id.get(self.literal(text))
        logical = reference.identifier
        if logical is None or not logical.value:
            return None
        kind = reference.type or expected
        return self._by_identifier.get((kind, (logical.system or "").strip(), logical.value.strip()))

    def target(self, reference: s.Reference | None, expected: str = "") -> str:
        """ "Type/id" that `reference` means, in the Bundle or not; "" when that cannot be told."""
        text = reference.reference if reference is not None else None
        if text is None:
            entry = self.find(reference, expected)
            return _name(entry) if entry is not None else ""
        known = self._targets.get(text)
        if known is None:
            known = self._targets[text] = self._target(reference, text)
        return known

    def _target(self, reference: s.Reference | None, text: str) -> str:
        entry = self.find(reference)
        if entry is not None:
            return _name(entry)
        kind, ident = self.literal(text.strip())
        return f"{kind}/{ident}" if kind else ""


def _name(entry: Entry) -> str:
    return f"{entry.type}/{entry.id}" if entry.id else entry.place


def contained(raw: Resource, reference: s.Reference | None) -> Resource | None:
    """The contained resource that `#id` means; None when it is no such reference or not there."""
    text = (reference.reference or "").strip() if reference is not None else ""
    held = raw.get("contained")
    if not text.startswith("#") or not isinstance(held, list):
        return None
    return next((c for c in held if isinstance(c, dict) and c.get("id") == text[1:]), None)


def identifiers(raw: Resource) -> list[tuple[str, str]]:
    """(system, value) of a resource's identifiers, bad ones left out."""
    listed: Any = raw.get("identifier")
    if isinstance(listed, dict):
        listed = [listed]
    found = []
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and isinstance(each.get("value"), str):
            system = each.get("system")
            found.append((system.strip() if isinstance(system, str) else "", each["value"].strip()))
    return found


def _only_base(entries: list[Entry]) -> set[str]:
    """Without fullUrls: the base of the absolute subject references, if they all share one."""
    bases: set[str] = set()
    for entry in entries:
        about = entry.raw.get("subject") or entry.raw.get("patient")
        text = about.get("reference") if isinstance(about, dict) else None
        found = _LITERAL.fullmatch(text) if isinstance(text, str) else None
        if found is not None and found[1]:
            bases.add(found[1])
    return bases if len(bases) == 1 else set()

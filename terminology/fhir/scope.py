"""One question's view of the shelf: which versions count, which supplements apply, and what was used.

Version parameters (https://hl7.org/fhir/R4/valueset-operation-expand.html): force-system-version overrides what a value
set says, system-version fills in where it says nothing, check-system-version must agree or there is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from terminology.fhir.canonical import fits, joined, newest, split
from terminology.fhir.concept import CodeSystem
from terminology.fhir.problem import TxError, TxIssue, not_found
from terminology.fhir.shelf import Shelf, supplements_of, usable

Json = dict[str, Any]


class UnknownSystem(TxError):
    """`url` (of that version) is not on the shelf; `known` are the versions that are."""

    def __init__(self, url: str, version: str, known: Sequence[str], end: str) -> None:
        self.url, self.version, self.known, self.end = url, version, tuple(known), end
        super().__init__(TxIssue("error", "not-found", "not-found", self.words(end)), status=404)

    def words(self, end: str, *, plain: bool = False) -> str:
        named = (self.url if plain and not self.version else f"'{self.url}'") + (
            f" version '{self.version}'" if self.version else ""
        )
        text = f"A definition for CodeSystem {named} could not be found, so {end}"
        if not self.version:
            return text
        versions = " or ".join(sorted(v for v in self.known if v))
        if not self.known:
            return f"{text}. No versions of this code system are known"
        return f"{text}. Valid versions: {versions}" if versions else text


class UnknownValueSet(TxError):
    def __init__(self, canonical: str) -> None:
        self.canonical = canonical
        text = f"A definition for the value Set '{canonical}' could not be found"
        super().__init__(TxIssue("error", "not-found", "not-found", text), status=404)


@dataclass(slots=True)
class Scope:
    """`used` collects canonicals by expansion parameter ("used-codesystem", "used-valueset", "used-supplement")."""

    shelf: Shelf
    system_versions: Mapping[str, str] = field(default_factory=dict)
    check_versions: Mapping[str, str] = field(default_factory=dict)
    force_versions: Mapping[str, str] = field(default_factory=dict)
    value_set_versions: Mapping[str, str] = field(default_factory=dict)
    wanted_supplements: list[str] = field(default_factory=list)
    used: dict[str, dict[str, None]] = field(default_factory=dict)
    end: str = "the value set cannot be expanded"
    checking: bool = True

    def system(self, url: str, version: str = "") -> CodeSystem:
        """Raises UnknownSystem, and TxError when check-system-version disagrees."""
        wanted = self.effective(url, version)
        found = self.resolved(url, wanted)
        if found is None:
            raise UnknownSystem(url, wanted, self.shelf.versions("CodeSystem", url), self.end)
        required = self.check_versions.get(url, "")
        if self.checking and not fits(found.version, required):
            raise TxError(self.check_issue(url, found.version, required, ""))
        self.use("used-codesystem", joined(url, found.version))
        for supplement in found.supplements:
            self.use("used-supplement", supplement)
        return found

    def effective(self, url: str, version: str) -> str:
        """The version that counts: forced, written, or the default; "" for the newest."""
        return self.force_versions.get(url) or version or self.system_versions.get(url, "")

    def resolved(self, url: str, version: str) -> CodeSystem | None:
        """The newest code system that fits the version. Of a url with a version check and no version: the newest that
        passes the check, where there is one."""
        known = self.shelf.versions("CodeSystem", url)
        wanted = version or self.check_versions.get(url, "")
        best = newest(v for v in known if fits(v, wanted))
        return None if best is None else self.shelf.system(url, best, self._supplements(url))

    def check_issue(self, url: str, version: str, required: str, path: str) -> TxIssue:
        text = (
            f"The version '{version}' is not allowed for system '{url}': required to be '{required}' by a "
            "version-check parameter"
        )
        return TxIssue("error", "exception", "version-error", text, path)

    def value_set(self, canonical: str) -> Json:
        """Raises UnknownValueSet."""
        url, version = split(canonical)
        version = version or self.value_set_versions.get(url, "")
        best = newest(v for v in self.shelf.versions("ValueSet", url) if fits(v, version))
        found = None if best is None else self.shelf.resource("ValueSet", url, best)
        if found is None:
            from terminology.fhir.implicit import implicit_value_set

            found = implicit_value_set(self.shelf, url)
        if found is None:
            raise UnknownValueSet(joined(url, version))
        return found

    def use(self, name: str, canonical: str) -> None:
        """Notes what an answer drew on; a contained resource ("#id") is part of what holds it."""
        if canonical.startswith("#"):
            return
        self.used.setdefault(name, {})[canonical] = None

    def want_supplements(self, canonicals: Sequence[str]) -> None:
        """Raises TxError when one of them is not there: an answer without it would be another answer."""
        for canonical in canonicals:
            url, version = split(canonical)
            if not any(fits(v, version) for v in self._supplement_versions(url)):
                text = f"Required supplement not found: {canonical}"
                raise TxError(TxIssue("error", "not-found", "", text), status=404)
            if canonical not in self.wanted_supplements:
                self.wanted_supplements.append(canonical)

    def _supplement_versions(self, url: str) -> list[str]:
        return [
            str(r.get("version") or "") for r in self.shelf.resources("CodeSystem")
            if r.get("url") == url and r.get("content") == "supplement"
        ]  # fmt: skip

    def _supplements(self, url: str) -> list[Json]:
        found = []
        for canonical in self.wanted_supplements:
            named, version = split(canonical)
            for head in supplements_of(self.shelf, url):
                if head.get("url") == named and fits(str(head.get("version") or ""), version):
                    whole = self.shelf.resource("CodeSystem", named, str(head.get("version") or ""))
                    found.append(whole or head)
        return found

    def is_supplement(self, url: str) -> bool:
        return bool(self._supplement_versions(url))

    def without_content(self, url: str) -> bool:
        """Whether a CodeSystem of that url is known, but with no codes in it."""
        return any(r.get("url") == url and not usable(r) for r in self.shelf.resources("CodeSystem"))


def need(value: Json | None, text: str) -> Json:
    if value is None:
        raise not_found(text)
    return value

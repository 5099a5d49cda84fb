"""The same questions put to an external FHIR terminology server, with cache, circuit breaker and local answers.

Operations and parameter names: FHIR R4 CodeSystem/$lookup, $validate-code, $subsumes, ConceptMap/$translate,
ValueSet/$expand. Which side answered the last question is in `answered_by` ("remote", "cache" or "local").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests

from terminology.store import (
    Concept,
    Expansion,
    Hit,
    Outcome,
    Terminology,
    Translation,
    UnknownCode,
    Validation,
)

_OUTCOMES: dict[str, Outcome] = {
    "equivalent": "equivalent", "subsumes": "subsumes", "subsumed-by": "subsumed-by", "not-subsumed": "not-subsumed",
}  # fmt: skip
_T = TypeVar("_T")
_MAX_BYTES = 8_000_000
_MEMO = 10_000


class RemoteDown(OSError):
    """The server does not answer (or not in FHIR) and there is no local release to ask."""


@dataclass(slots=True)
class RemoteTerminology:
    """`base` is a registered FHIR base URL. After `tries` failures in a row the server rests for `rest` seconds."""

    base: str
    local: Terminology | None = None
    timeout: float = 5.0
    tries: int = 3
    rest: float = 30.0
    session: requests.Session = field(default_factory=requests.Session)
    clock: Callable[[], float] = time.monotonic
    answered_by: str = ""
    _memo: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _failures: int = 0
    _closed_until: float = 0.0

    def lookup(self, system: str, code: str, version: str = "") -> Concept:
        """Raises UnknownCode when the server says 404, RemoteDown when nobody can answer."""

        def ask() -> Concept:
            found = self._parameters("CodeSystem/$lookup", system=system, code=code, version=version)
            named = [_parts(p) for p in found.get("designation", ())]
            properties = [_parts(p) for p in found.get("property", ())]
            return Concept(
                system, str(_first(found, "version")), str(_first(found, "name")), code, str(_first(found, "display")),
                True,
                tuple(("designation", str(d.get("value", ""))) for d in named),
                tuple((str(p.get("code", "")), str(p.get("value", ""))) for p in properties),
            )  # fmt: skip

        return self._answer(("lookup", system, code, version), ask, lambda t: t.lookup(system, code, version))

    def validate(self, system: str, code: str, display: str = "", version: str = "") -> Validation:
        def ask() -> Validation:
            found = self._parameters(
                "CodeSystem/$validate-code", url=system, code=code, display=display, version=version
            )
            return Validation(
                _first(found, "result") is True, str(_first(found, "message")), str(_first(found, "display"))
            )

        key = ("validate", system, code, display, version)
        return self._answer(key, ask, lambda t: t.validate(system, code, display, version))

    def subsumes(self, system: str, code_a: str, code_b: str, version: str = "") -> Outcome:
        def ask() -> Outcome:
            found = self._parameters(
                "CodeSystem/$subsumes", system=system, codeA=code_a, codeB=code_b, version=version
            )
            outcome = _OUTCOMES.get(str(_first(found, "outcome")))
            if outcome is None:
                raise RemoteDown("the server's outcome is none of FHIR's")
            return outcome

        key = ("subsumes", system, code_a, code_b, version)
        return self._answer(key, ask, lambda t: t.subsumes(system, code_a, code_b, version))

    def translate(
        self, system: str, code: str, target_system: str = "", *, map_url: str = ""
    ) -> tuple[Translation, ...]:
        def ask() -> tuple[Translation, ...]:
            found = self._parameters(
                "ConceptMap/$translate", url=map_url, system=system, code=code, targetsystem=target_system
            )
            return tuple(_translation(_parts(m), map_url) for m in found.get("match", ()))

        key = ("translate", system, code, target_system, map_url)
        return self._answer(key, ask, lambda t: t.translate(system, code, target_system, map_url=map_url))

    def expand(self, system: str, text: str = "", *, count: int = 20, offset: int = 0) -> Expansion:
        """Codes of the whole system (its implicit value set) that match `text`."""

        def ask() -> Expansion:
            found = self._get(
                "ValueSet/$expand", url=f"{system}?fhir_vs", filter=text, count=str(count), offset=str(offset)
            )
            expansion = found.get("expansion", {})
            contains = tuple(
                Hit(str(c.get("code", "")), str(c.get("display", ""))) for c in expansion.get("contains", ())
            )
            return Expansion(int(expansion.get("total", len(contains))), offset, contains)

        key = ("expand", system, text, str(count), str(offset))
        return self._answer(key, ask, lambda t: t.expand(system, text, count=count, offset=offset))

    def _answer(
        self, key: tuple[str, ...], ask: Callable[[], _T], locally: Callable[[Terminology], _T]
    ) -> _T:
        """Cache, then the server unless it is resting, then the local release."""
        if key in self._memo:
            self.answered_by = "cache"
            known: _T = self._memo[key]
            return known
        if self.clock() >= self._closed_until:
            try:
                answer = ask()
            except RemoteDown:
                self._failures += 1
                if self._failures >= self.tries:
                    self._closed_until, self._failures = self.clock() + self.rest, 0
            else:
                self._failures, self.answered_by = 0, "remote"
                if len(self._memo) >= _MEMO:
                    self._memo.clear()
                self._memo[key] = answer
                return answer
        if self.local is None:
            raise RemoteDown("the terminology server does not answer and no local release is loaded")
        self.answered_by = "local"
        return locally(self.local)

    def _parameters(self, operation: str, **values: str) -> dict[str, list[dict[str, Any]]]:
        body = self._get(operation, **values)
        if body.get("resourceType") != "Parameters":
            raise RemoteDown("the answer is no Parameters resource")
        found: dict[str, list[dict[str, Any]]] = {}
        for parameter in body.get("parameter", ()):
            found.setdefault(str(parameter.get("name")), []).append(parameter)
        return found

    def _get(self, operation: str, **values: str) -> dict[str, Any]:
        asked = {name: value for name, value in values.items() if value}
        try:
            reply = self.session.get(
                f"{self.base.rstrip('/')}/{operation}", params=asked, timeout=self.timeout, allow_redirects=False,
                headers={"Accept": "application/fhir+json"},
            )  # fmt: skip
            if reply.status_code == 404:
                raise UnknownCode("the server does not know it")
            if reply.status_code != 200 or len(reply.content) > _MAX_BYTES:
                raise RemoteDown(f"status {reply.status_code}")
            body = reply.json()
        except (requests.RequestException, ValueError) as error:
            raise RemoteDown(type(error).__name__) from error
        if not isinstance(body, dict):
            raise RemoteDown("the answer is no FHIR resource")
        return body


def _first(found: dict[str, list[dict[str, Any]]], name: str) -> Any:
    return _value(found[name][0]) if found.get(name) else ""


def _value(parameter: dict[str, Any]) -> Any:
    value = next((v for k, v in parameter.items() if k.startswith("value")), "")
    return value.get("code", "") if isinstance(value, dict) and "code" in value else value


def _parts(parameter: dict[str, Any]) -> dict[str, Any]:
    return {
        str(p.get("name")): next((v for k, v in p.items() if k.startswith("value")), "")
        for p in parameter.get("part", ())
    }


def _translation(match: dict[str, Any], map_url: str) -> Translation:
    concept = match.get("concept") or {}
    return Translation(
        str(match.get("source", map_url)), str(concept.get("system", "")), str(concept.get("code", "")),
        str(concept.get("display", "")), str(match.get("equivalence", "relatedto")),
    )  # fmt: skip

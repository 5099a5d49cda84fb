"""The same questions put to an external FHIR terminology server, with cache, circuit breaker and local answers.

Operations and parameter names: FHIR R4 CodeSystem/$lookup, $validate-code, $subsumes, ConceptMap/$translate,
ValueSet/$expand. Which side answered the last question of this thread is in `answered_by` ("remote", "cache" or
"local"). Only terminology is ever sent: systems, codes, value sets, words to search for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests

from terminology.fhir.concept import value_of
from terminology.remote_link import MAX_BYTES, Link, RemoteDown, Reply
from terminology.results import (
    Concept,
    Expansion,
    Hit,
    Outcome,
    Translation,
    UnknownCode,
    Validation,
)
from terminology.store import Terminology

Json = dict[str, Any]
_OUTCOMES: dict[str, Outcome] = {
    "equivalent": "equivalent", "subsumes": "subsumes", "subsumed-by": "subsumed-by", "not-subsumed": "not-subsumed",
}  # fmt: skip
_T = TypeVar("_T")
__all__ = ["MAX_BYTES", "Link", "RemoteDown", "RemoteTerminology", "Reply", "send"]


def send(
    session: requests.Session, base: str, timeout: float, method: str, operation: str, values: Any
) -> Reply:
    """One request, never redirected, its answer read up to MAX_BYTES. Raises RemoteDown when there is none in FHIR."""
    headers = {"Accept": "application/fhir+json"}
    body = {"json": values} if method == "POST" else {"params": values}
    if method == "POST":
        headers["Content-Type"] = "application/fhir+json"
    deadline = time.monotonic() + 4 * timeout
    try:
        with session.request(
            method, f"{base.rstrip('/')}/{operation}", timeout=timeout, allow_redirects=False, stream=True,
            headers=headers, **body,
        ) as answer:  # fmt: skip
            data = b""
            for part in answer.iter_content(65_536):
                data += part
                if len(data) > MAX_BYTES or time.monotonic() > deadline:
                    raise RemoteDown("the answer is too large or too slow")
            return Reply.read(answer.status_code, data)
    except requests.RequestException as error:
        raise RemoteDown(type(error).__name__) from None


@dataclass(slots=True)
class RemoteTerminology:
    """`base` is a registered FHIR base URL. After `tries` failures in a row the server rests for `rest` seconds; then
    one question is tried while others are answered locally. Answers are kept for `keep` seconds."""

    base: str
    local: Terminology | None = None
    timeout: float = 5.0
    tries: int = 3
    rest: float = 30.0
    keep: float = 3_600.0
    session: requests.Session = field(default_factory=requests.Session)
    clock: Callable[[], float] = time.monotonic
    _link: Link = field(init=False)
    _said: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        def over(method: str, operation: str, values: Any) -> Reply:
            return send(self.session, self.base, self.timeout, method, operation, values)

        self._link = Link(over, self.tries, self.rest, self.keep, self.clock)

    @property
    def answered_by(self) -> str:
        return str(getattr(self._said, "by", ""))

    def operation(self, path: str, parameters: list[Any], locally: Callable[[], _T]) -> Json | _T:
        """A whole operation ("ValueSet/$expand"): the server's resource, or what `locally` gives when the server is
        down or does not know what is asked for. What neither knows is the error of `locally`."""
        body = {"resourceType": "Parameters", "parameter": parameters}
        try:
            reply = self._link.ask("POST", path, body)
        except RemoteDown:
            self._said.by = "local"
            return locally()
        if reply.status == 200:
            self._said.by = "cache" if reply.cached else "remote"
            return reply.body
        self._said.by = "local"
        return locally()

    def lookup(self, system: str, code: str, version: str = "") -> Concept:
        """Raises UnknownCode when the server says 404, RemoteDown when nobody can answer."""

        def read(body: Json) -> Concept:
            found = _parameters(body)
            properties = [_parts(p) for p in found.get("property", ())]
            pairs = tuple((str(p.get("code", "")), _text(p.get("value"))) for p in properties)
            inactive = ("inactive", "true") in pairs
            return Concept(
                system, str(_first(found, "version")), str(_first(found, "name")), code, str(_first(found, "display")),
                not inactive,
                tuple(("designation", str(_parts(p).get("value", ""))) for p in found.get("designation", ())),
                pairs, tuple(v for n, v in pairs if n == "parent"), tuple(v for n, v in pairs if n == "child"),
            )  # fmt: skip

        given = {"system": system, "code": code, "version": version}
        return self._get("CodeSystem/$lookup", given, read, lambda t: t.lookup(system, code, version))

    def validate(self, system: str, code: str, display: str = "", version: str = "") -> Validation:
        def read(body: Json) -> Validation:
            found = _parameters(body)
            if not isinstance(_first(found, "result"), bool):
                raise RemoteDown("the answer has no result")
            return Validation(
                _first(found, "result"), str(_first(found, "message")), str(_first(found, "display"))
            )

        given = {"url": system, "code": code, "display": display, "version": version}
        return self._get(
            "CodeSystem/$validate-code", given, read, lambda t: t.validate(system, code, display, version)
        )

    def subsumes(self, system: str, code_a: str, code_b: str, version: str = "") -> Outcome:
        def read(body: Json) -> Outcome:
            outcome = _OUTCOMES.get(str(_first(_parameters(body), "outcome")))
            if outcome is None:
                raise RemoteDown("the server's outcome is none of FHIR's")
            return outcome

        given = {"system": system, "codeA": code_a, "codeB": code_b, "version": version}
        return self._get(
            "CodeSystem/$subsumes", given, read, lambda t: t.subsumes(system, code_a, code_b, version)
        )

    def translate(
        self, system: str, code: str, target_system: str = "", *, map_url: str = "", reverse: bool = False
    ) -> tuple[Translation, ...]:
        def read(body: Json) -> tuple[Translation, ...]:
            matches = _parameters(body).get("match", ())
            return tuple(_translation(_parts(m), map_url, reverse=reverse) for m in matches)

        given = {"url": map_url, "system": system, "code": code, "targetsystem": target_system}
        given["reverse"] = "true" if reverse else ""
        return self._get(
            "ConceptMap/$translate", given, read,
            lambda t: t.translate(system, code, target_system, map_url=map_url, reverse=reverse),
        )  # fmt: skip

    def expand(self, system: str, text: str = "", *, count: int = 20, offset: int = 0) -> Expansion:
        """Codes of the whole system (its implicit value set) that match `text`."""

        def read(body: Json) -> Expansion:
            expansion = body.get("expansion")
            if not isinstance(expansion, dict):
                raise RemoteDown("the answer is no expansion")
            rows = [c for c in expansion.get("contains") or () if isinstance(c, dict)]
            total = expansion.get("total")
            contains = tuple(
                Hit(str(c.get("code", "")), str(c.get("display", "")), "", c.get("inactive") is not True)
                for c in rows
            )
            return Expansion(total if isinstance(total, int) else len(rows), offset, contains)

        given = {"url": f"{system}?fhir_vs", "filter": text, "count": str(count), "offset": str(offset)}
        return self._get(
            "ValueSet/$expand", given, read, lambda t: t.expand(system, text, count=count, offset=offset)
        )

    def _get(
        self, operation: str, given: dict[str, str], read: Callable[[Json], _T], locally: Callable[[Terminology], _T]
    ) -> _T:  # fmt: skip
        """Cache, then the server unless it is resting, then the local release."""
        asked = {name: value for name, value in given.items() if value}
        try:
            reply = self._link.ask("GET", operation, asked, read)
        except RemoteDown:
            if self.local is None:
                raise RemoteDown(
                    "the terminology server does not answer and no local release is loaded"
                ) from None
            self._said.by = "local"
            return locally(self.local)
        self._said.by = "cache" if reply.cached else "remote"
        if reply.status == 404:
            raise UnknownCode("the server does not know it")
        found: _T = reply.value
        return found


def _parameters(body: Json) -> dict[str, list[Json]]:
    if body.get("resourceType") != "Parameters":
        raise RemoteDown("the answer is no Parameters resource")
    found: dict[str, list[Json]] = {}
    for parameter in body.get("parameter") or ():
        if isinstance(parameter, dict):
            found.setdefault(str(parameter.get("name")), []).append(parameter)
    return found


def _first(found: dict[str, list[Json]], name: str) -> Any:
    return value_of(found[name][0]) if found.get(name) else ""


def _parts(parameter: Json) -> Json:
    return {str(p.get("name")): value_of(p) for p in parameter.get("part") or () if isinstance(p, dict)}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("code", ""))
    return ("true" if value else "false") if isinstance(value, bool) else str(value or "")


def _translation(match: Json, map_url: str, *, reverse: bool) -> Translation:
    concept = match.get("concept") or {}
    return Translation(
        str(match.get("source") or map_url), str(concept.get("system", "")), str(concept.get("code", "")),
        str(concept.get("display", "")), str(match.get("equivalence") or "relatedto"), unsafe=reverse,
    )  # fmt: skip

"""Fit a plan to a server's likings: the AI label it knows, and, after a refusal (400, 422), what can be mended."""

from __future__ import annotations

from fhir_twin.errors import Issue, TwinError
from fhir_twin.fhir.fit import outside_references, with_label, without_references
from fhir_twin.fhir.systems import V3_OBSERVATION_VALUE
from fhir_twin.transport.protocols import FhirServer, Resource

_CHUNK = 40


class Mender:
    """First: references to what the server does not hold (a plan made from files) become labels. Then: the AI
    label becomes DEVAST (AI-1), for a server that refuses it although it could not say so when asked."""

    def __init__(self, server: FhirServer) -> None:
        self._server = server
        self._tried: set[str] = set()

    def mend(self, desired: Resource) -> tuple[Resource, list[Issue]]:
        """(mended Bundle, what was mended); no issues when there is nothing left to try. Servers word refusals too
        differently to be read, so what can be checked is checked."""
        if "references" not in self._tried:
            self._tried.add("references")
            missing = self._missing(desired)
            if missing:
                text = (
                    f"{len(missing)} source(s) of the plan are not on this server; they are named, not linked"
                )
                return without_references(desired, missing), [
                    Issue("warning", "not-found", text, "", "write")
                ]
        if "label" not in self._tried:
            self._tried.add("label")
            relabelled = with_label(desired, "DEVAST")
            if relabelled != desired:
                text = (
                    "the server refused the plan; it is tried with the older label DEVAST in place of AIAST"
                )
                return relabelled, [Issue("warning", "code-invalid", text, "meta.security", "write")]
        return desired, []

    def _missing(self, desired: Resource) -> set[str]:
        missing: set[str] = set()
        for type_, ids in outside_references(desired).items():
            for start in range(0, len(ids), _CHUNK):
                chunk = ids[start : start + _CHUNK]
                found = {str(r.get("id")) for r in self._server.search(type_, {"_id": ",".join(chunk)})}
                missing |= {f"{type_}/{i}" for i in chunk if i not in found}
        return missing


def label_fault(server: FhirServer) -> bool:
    """True when the server itself says that AIAST is no code of its v3-ObservationValue, as servers with R4's own
    (2018) copy do; then its validator would call everything that carries it invalid (AI-1)."""
    try:
        answer = server.invoke("CodeSystem/$validate-code", {"url": V3_OBSERVATION_VALUE, "code": "AIAST"})
    except TwinError:
        return False  # it cannot say; most servers do not look at labels at all
    found = {p.get("name"): p for p in answer.get("parameter", []) if isinstance(p, dict)}
    return found.get("result", {}).get("valueBoolean") is False


LABEL_ISSUE = Issue(
    "information",
    "code-invalid",
    "the server does not know the label AIAST (AI asserted); DEVAST (device asserted) is written in its place",
    "meta.security",
    "write",
)

"""When a server refuses a plan (400, 422): find out whether we can mend it, once for each cause."""

from __future__ import annotations

from fhir_twin.errors import InvalidInput, Issue
from fhir_twin.fhir.fit import outside_references, with_label, without_references
from fhir_twin.transport.protocols import FhirServer, Resource

_CHUNK = 40


class Mender:
    """First: references to what the server does not hold (a plan made from files) become labels. Then: the AI
    label becomes DEVAST for servers that only know R4's own codes (AI-1)."""

    def __init__(self, server: FhirServer) -> None:
        self._server = server
        self._tried: set[str] = set()

    def mend(self, desired: Resource, refusal: InvalidInput) -> tuple[Resource, list[Issue]]:
        """(mended Bundle, what was mended); no issues when there is nothing left to try."""
        del refusal  # servers word it too differently to be read; what can be checked is checked
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

"""After a write: are there duplicates, and did the server keep what we sent (interop.md E6)?

A server that changes content on the way (cuts elements, rewrites texts in a way that our digest does not see through)
would look like a person's edit at the next run. Then the digest of what it really holds is put on the resource, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fhir_twin.errors import Issue
from fhir_twin.fhir.digest import digest, with_digest
from fhir_twin.fhir.shelf import Held, shelf
from fhir_twin.transport.plan_answer import Placed
from fhir_twin.transport.protocols import FhirServer, Resource


def seal_what_changed(server: FhirServer, held: Iterable[Resource], placed: Iterable[Placed]) -> list[Issue]:
    """held: what was read back. placed: what was just written; only exactly that version is sealed, so that an
    edit in between stays visible."""
    found = shelf(held, server.base)
    written = {(p.type, p.id): p.version for p in placed}
    issues = list(found.issues)
    for helds in found.by_key.values():
        for one in helds:
            version = written.get((one.identity.type, one.id))
            if one.touched and version and version == one.version:
                issues.append(_seal(server, one))
    return issues


def _seal(server: FhirServer, held: Held) -> Issue:
    if held.stated is None:
        text = "the server does not keep our second identifier; a later edit by a person cannot be told from ours"
        return Issue("warning", "incomplete", text, held.identity.type, "write")
    now = replace(held.stated, seal=digest(held.resource, server.base).seal)
    meta = {k: v for k, v in held.resource.get("meta", {}).items() if k in ("profile", "security", "tag")}
    server.update(with_digest({**held.resource, "meta": meta}, now, server.base), if_match=held.version)
    text = "the server changed what we wrote; its form was taken as ours"
    return Issue("information", "informational", text, held.identity.type, "write")

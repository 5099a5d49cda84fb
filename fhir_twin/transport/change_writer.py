"""A person's changes to single resources: one transaction where the server takes it, else one after the other.

Each update says which version it was decided on (If-Match), so that nobody's later edit is overwritten; each creation
is conditional on our identifier where the resource has one.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_twin.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    Issue,
    NotSupported,
    TooCostly,
    TwinError,
    UpstreamError,
)
from fhir_twin.fhir.identity import identity_of
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.model.decision import Change
from fhir_twin.model.written import Action, Written, WrittenItem
from fhir_twin.transport.protocols import FhirServer, Resource

_DRAFT = {"Goal": ("lifecycleStatus", "proposed")}


def write_changes(server: FhirServer, changes: Sequence[Change], provenance: Resource | None) -> Written:
    """Send what has an `after`. provenance: its targets are filled in with what was written.

    Raises InvalidInput (does not pass our checks), Conflict (somebody changed one of them meanwhile), and what the
    server refuses with; a Provenance that the server does not take is an issue, not a failure."""
    sending = [c for c in changes if c.after is not None]
    _check(sending)
    if not sending:
        return Written((), (), "none")
    mode = (
        "transaction" if server.capability().supports_system("transaction") and len(sending) > 1 else "single"
    )
    if mode == "transaction":
        try:
            references = _together(server, sending)
        except (NotSupported, TooCostly, Forbidden):
            mode, references = "single", _one_by_one(server, sending)
    else:
        references = _one_by_one(server, sending)
    issues = _provenance(server, provenance, references)
    items = tuple(
        WrittenItem(c.type, _key(c), _action(c), reference, c.note)
        for c, reference in zip(sending, references, strict=True)
    )
    return Written(items, issues, mode)  # type: ignore[arg-type]


def _check(changes: Sequence[Change]) -> None:
    """Ours and new ones pass our own rules as the drafts they were: to activate them is the person's decision (CP-1).
    A resource of somebody else is the server's to judge."""
    for change in changes:
        assert change.after is not None
        if change.before is not None and identity_of(change.before) is None:
            continue
        place, status = _DRAFT.get(change.type, ("status", "draft"))
        checked = change.after if change.type == "Observation" else {**change.after, place: status}
        issues = validate_resource(checked)
        if any(i.severity in ("error", "fatal") for i in issues):
            raise InvalidInput("the change does not pass our own checks; nothing was written", issues=issues)


def _together(server: FhirServer, changes: Sequence[Change]) -> list[str]:
    answer = server.transaction(
        {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(c) for c in changes]}
    )
    responses = [e.get("response", {}) for e in answer.get("entry", [])]
    if len(responses) != len(changes) or any(not str(r.get("status", "")).startswith("2") for r in responses):
        raise UpstreamError("the server did not carry out every change of a transaction")
    return [_place(c, str(r.get("location", ""))) for c, r in zip(changes, responses, strict=True)]


def _one_by_one(server: FhirServer, changes: Sequence[Change]) -> list[str]:
    references: list[str] = []
    for change in changes:
        try:
            references.append(_single(server, change))
        except TwinError as error:
            if not references:
                raise
            text = f"{len(references)} of {len(changes)} changes were written before the server refused one"
            raise type(error)(
                error.message, issues=(Issue("error", "incomplete", text, "", "write"), *error.issues)
            ) from error
    return references


def _single(server: FhirServer, change: Change) -> str:
    assert change.after is not None
    if change.before is not None:
        done = server.update({**change.after, "id": change.before["id"]}, if_match=_version(change.before))
    else:
        own = identity_of(change.after)
        done = server.create(change.after, if_none_exist=own.query if own else "")
    return f"{change.type}/{done['id']}"


def _entry(change: Change) -> Resource:
    assert change.after is not None
    if change.before is not None:
        id_ = change.before["id"]
        request = {"method": "PUT", "url": f"{change.type}/{id_}"}
        if _version(change.before):
            request["ifMatch"] = f'W/"{_version(change.before)}"'
        return {"resource": {**change.after, "id": id_}, "request": request}
    own = identity_of(change.after)
    request = {"method": "POST", "url": change.type, **({"ifNoneExist": own.query} if own else {})}
    return {"resource": change.after, "request": request}


def _place(change: Change, location: str) -> str:
    if change.before is not None:
        return f"{change.type}/{change.before['id']}"
    parts = location.split("?")[0].split("/_history/")[0].rstrip("/").split("/")
    if len(parts) < 2 or parts[-2] != change.type:
        raise UpstreamError("the server does not say which id it gave to a resource")
    return f"{parts[-2]}/{parts[-1]}"


def _provenance(
    server: FhirServer, provenance: Resource | None, references: Sequence[str]
) -> tuple[Issue, ...]:
    if provenance is None or not references:
        return ()
    try:
        server.create({**provenance, "target": [{"reference": r} for r in references]})
    except Conflict:
        raise
    except TwinError as error:
        text = "the changes are written, but their Provenance was not taken by the server"
        return (Issue("warning", error.code, text, "Provenance", "write"), *error.issues)
    return ()


def _version(resource: Resource) -> str:
    meta = resource.get("meta")
    return str(meta.get("versionId", "")) if isinstance(meta, dict) else ""


def _key(change: Change) -> str:
    own = identity_of(change.after or {})
    return own.value if own else ""


def _action(change: Change) -> Action:
    return "create" if change.before is None else "update"

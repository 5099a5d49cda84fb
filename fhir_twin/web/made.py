"""What we made for patients, kept for the FHIR face: in the store, or in memory where there is none."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from flask import current_app

from fhir_twin.fhir.encode import dump_json
from fhir_twin.fhir.parse import parse_json
from fhir_twin.storage.made import AnswerRow, Made, MadeShelf, versioned
from fhir_twin.storage.store import Store

Json = dict[str, Any]
MOST_PATIENTS = 500  # in memory


class Keeper(Protocol):
    """See `storage.made.MadeShelf`."""

    def keep(self, patient: str, rows: Sequence[Made]) -> None: ...
    def get(self, type_: str, id_: str) -> Made | None: ...
    def of(self, type_: str, patient: str = "", limit: int = 10_000) -> list[Made]: ...
    def when(self, patient: str) -> float: ...
    def begin(self, owner: str, expires: float) -> str: ...
    def finish(self, id_: str, state: str, body: bytes) -> None: ...
    def answer(self, id_: str) -> AnswerRow | None: ...
    def drop(self, id_: str) -> None: ...


class MemoryKeeper:
    """For a service without a store: the last patients, gone with the process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._patients: OrderedDict[str, dict[tuple[str, str], Made]] = OrderedDict()
        self._answers: dict[str, AnswerRow] = {}

    def keep(self, patient: str, rows: Sequence[Made]) -> None:
        with self._guard:
            held = self._patients.pop(patient, {})
            self._patients[patient] = {(r.type, r.id): versioned(r, held.get((r.type, r.id))) for r in rows}
            while len(self._patients) > MOST_PATIENTS:
                self._patients.popitem(last=False)

    def get(self, type_: str, id_: str) -> Made | None:
        with self._guard:
            return next((rows[type_, id_] for rows in self._patients.values() if (type_, id_) in rows), None)

    def of(self, type_: str, patient: str = "", limit: int = 10_000) -> list[Made]:
        with self._guard:
            groups = [self._patients.get(patient, {})] if patient else list(self._patients.values())
            found = {r.id: r for rows in groups for r in rows.values() if r.type == type_}
        return [found[id_] for id_ in sorted(found)][:limit]

    def when(self, patient: str) -> float:
        with self._guard:
            return max((r.made for r in self._patients.get(patient, {}).values()), default=0.0)

    def begin(self, owner: str, expires: float) -> str:
        id_, now = secrets.token_urlsafe(24), time.time()
        with self._guard:
            self._answers = {k: a for k, a in self._answers.items() if a.expires >= now}
            self._answers[id_] = AnswerRow(id_, owner, "running", b"", expires)
        return id_

    def finish(self, id_: str, state: str, body: bytes) -> None:
        with self._guard:
            if (held := self._answers.get(id_)) is not None:
                self._answers[id_] = AnswerRow(id_, held.owner, state, body, held.expires)

    def answer(self, id_: str) -> AnswerRow | None:
        with self._guard:
            held = self._answers.get(id_)
        return held if held is not None and held.expires >= time.time() else None

    def drop(self, id_: str) -> None:
        with self._guard:
            self._answers.pop(id_, None)


def keeper() -> Keeper:
    """The app's keeper."""
    kept = current_app.extensions["fhir-twin"]
    with kept["guard"]:
        if "keeper" not in kept:
            store: Store | None = kept.get("store")
            kept["keeper"] = MadeShelf(store.database, store.tenant) if store is not None else MemoryKeeper()
    found: Keeper = kept["keeper"]
    return found


def rows_of(output: Json, patient: str, base: str, now: float) -> list[Made]:
    """The rows of a plan's Bundle: ids from its stable URNs, references between its resources made literal, the
    subject named on the server where the patient lives."""
    entries = output.get("entry", ())
    names = {e["fullUrl"]: f"{e['resource']['resourceType']}/{_id(e)}" for e in entries}
    home = base.rstrip("/")
    subject = (
        f"{home}/Patient/{patient}" if home.startswith(("http://", "https://")) else f"Patient/{patient}"
    )
    rows = []
    for entry in entries:
        resource = _pointed(entry["resource"], names, {f"Patient/{patient}": subject})
        made = {"resourceType": resource["resourceType"], "id": _id(entry), **resource}
        owner = "" if made["resourceType"] == "Device" else patient  # the software is nobody's
        rows.append(Made(made["resourceType"], made["id"], owner, _digest(made), dump_json(made), now))
    return rows


def shown(row: Made) -> Json:
    """The resource with its version."""
    resource: Json = dict(parse_json(row.body, what="kept resource"))
    updated = datetime.fromtimestamp(row.updated, UTC).isoformat(timespec="milliseconds")
    resource["meta"] = {**resource.get("meta", {}), "versionId": str(row.version), "lastUpdated": updated}
    return resource


def _id(entry: Json) -> str:
    return str(entry["fullUrl"]).removeprefix("urn:uuid:")


def _pointed(value: Any, names: dict[str, str], patients: dict[str, str]) -> Any:
    if isinstance(value, dict):
        done = {k: _pointed(v, names, patients) for k, v in value.items()}
        target = done.get("reference")
        if isinstance(target, str):
            done["reference"] = names.get(target) or patients.get(target) or target
        return done
    return [_pointed(v, names, patients) for v in value] if isinstance(value, list) else value


def _digest(resource: Json) -> str:
    """Our content identifier where there is one (it leaves times out), else the bytes."""
    for row in resource.get("identifier", ()) if isinstance(resource.get("identifier"), list) else ():
        if str(row.get("system", "")).endswith("fhir-twin-content"):
            return str(row["value"])[:64]
    stable = {k: v for k, v in resource.items() if k not in ("recorded", "occurredDateTime", "meta", "text")}
    return hashlib.sha256(dump_json(stable)).hexdigest()

"""Records from feeds as a Source: alone, or joined to what the FHIR server knows of the same person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fhir_twin.errors import NotFound
from fhir_twin.intake.merge import point_to
from fhir_twin.model.chart import Completeness
from fhir_twin.service import Source
from fhir_twin.storage.records import MOST_LINKED, RecordShelf
from fhir_twin.transport.pull import Fetched
from fhir_twin.worker.intake import opened

Json = dict[str, Any]
BASE = "urn:fhir-twin:feeds"
NOTE = "from feeds; nothing says whether it is all"


class RecordSource:
    """Patients as feeds tell of them; there is no FHIR server."""

    base = BASE

    def __init__(self, shelf: RecordShelf) -> None:
        self._shelf = shelf

    def patients(self) -> Iterator[str]:
        yield from self._shelf.all_persons()

    def find(self, system: str, value: str) -> str:
        """Raises NotFound."""
        found = self._shelf.known([f"{system}|{value}"])
        if not found:
            raise NotFound("no feed has told of a patient with this identifier")
        return next(iter(found.values()))

    def fetch(self, patient: str) -> Fetched:
        """Follows a merge to the record that stays. Raises NotFound."""
        resources = [opened(kept) for kept in self._shelf.record(patient)]
        if not resources or resources[0]["resourceType"] != "Patient":
            raise NotFound("no feed has told of this patient")
        for link in resources[0].get("link", ()):
            if link.get("type") == "replaced-by":
                return self.fetch(str(link["other"]["reference"]).removeprefix("Patient/"))
        return Fetched(_bundle(resources), _counts(resources), (), patient=patient)


class JoinedSource:
    """The FHIR server's patients, each with what feeds said of the same person (by identifier)."""

    def __init__(self, server: Source, shelf: RecordShelf) -> None:
        self.server = server
        self._shelf = shelf
        self._fed = RecordSource(shelf)

    @property
    def base(self) -> str:
        return self.server.base

    def patients(self) -> Iterator[str]:
        yield from self.server.patients()

    def find(self, system: str, value: str) -> str:
        return self.server.find(system, value)

    def fetch(self, patient: str) -> Fetched:
        """`patient`: an id of the server, or of the shelf (then the server's patient with the same identifier is read,
        and named in `Fetched.patient`). Raises NotFound when the server has no such patient."""
        fed = self._shelf.record(patient)
        if fed and fed[0].type == "Patient":
            patient = self._on_server(self._fed.fetch(patient))
        fetched = self.server.fetch(patient)
        found = fetched.patient or patient
        more = self._more(fetched.bundle, found)
        if not more:
            return fetched
        entries = [*fetched.bundle.get("entry", ()), *({"resource": r} for r in more)]
        return replace(
            fetched,
            bundle={**fetched.bundle, "entry": entries},
            completeness=(*fetched.completeness, *_counts(more)),
            patient=found,
        )

    def _on_server(self, fed: Fetched) -> str:
        for system, value in _identifiers(fed.bundle["entry"][0]["resource"]):
            try:
                return self.server.find(system, value)
            except NotFound:
                continue
        raise NotFound("the server has no patient with an identifier that the feeds name")

    def _more(self, bundle: Json, patient: str) -> list[Json]:
        """What feeds said, about the server's Patient; the server's own words on the person stand."""
        resources = [e.get("resource") or {} for e in bundle.get("entry", ())]
        person = next(
            (r for r in resources if r.get("resourceType") == "Patient" and r.get("id") == patient), {}
        )
        keys = [f"{system}|{value}" for system, value in _identifiers(person)]
        known = sorted(set(self._shelf.known(keys).values()))[:MOST_LINKED] if keys else []
        if known:
            self._shelf.link(patient, known)
        return [
            point_to(opened(kept), one, patient)
            for one in known
            for kept in self._shelf.record(one)
            if kept.type != "Patient"
        ]


def _identifiers(patient: Json) -> list[tuple[str, str]]:
    rows = patient.get("identifier")
    return [
        (str(i["system"]), str(i["value"]))
        for i in (rows if isinstance(rows, list) else [])
        if isinstance(i, dict) and i.get("system") and i.get("value")
    ]


def _bundle(resources: list[Json]) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}


def _counts(resources: list[Json]) -> tuple[Completeness, ...]:
    counts = Counter(r["resourceType"] for r in resources if r["resourceType"] != "Patient")
    return tuple(Completeness(t, n, None, "unknown", NOTE) for t, n in sorted(counts.items()))

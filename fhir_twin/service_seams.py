"""What the service needs of the world: where records come from and where plans go, as protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fhir_twin.model.decision import Change
from fhir_twin.model.directory import PatientRow
from fhir_twin.model.written import Written

if TYPE_CHECKING:  # the reading machinery (requests) is loaded by wiring only
    from fhir_twin.transport.protocols import Resource
    from fhir_twin.transport.pull import Fetched


class Source(Protocol):
    """Where records come from: a FHIR server, or files. `base` goes into the identifiers of what we write."""

    @property
    def base(self) -> str: ...

    def patients(self) -> Iterator[str]:
        """Ids of all patients."""

    def find(self, system: str, value: str) -> str:
        """The id of the one patient with this identifier; NotFound when none, Conflict when several."""

    def fetch(self, patient: str) -> Fetched:
        """Everything we read of one patient, with how complete it is."""


@runtime_checkable
class Directory(Protocol):
    """A source that can be searched for people."""

    def directory(self, words: str, *, most: int = 50) -> tuple[tuple[PatientRow, ...], bool]:
        """Patients that the words may mean ("" = the first of all), and whether there are more."""


class Sink(Protocol):
    """Where plans go."""

    def write(self, patient: str, bundle: Resource, *, dry_run: bool = False) -> Written:
        """Bring the server's copy of this patient's plan to `bundle`; a dry run only says what it would do."""


@runtime_checkable
class ReviewSink(Protocol):
    """A sink that can show what it would do, and take a person's changes."""

    def preview(self, patient: str, bundle: Resource) -> tuple[Change, ...]:
        """What `write` would do, with each resource before and after."""

    def held(self, patient: str) -> list[Resource]:
        """All that is there of ours for this patient."""

    def change(self, patient: str, changes: Sequence[Change], provenance: Resource | None) -> Written:
        """Bring single resources to what a person decided; each only if nobody changed it meanwhile."""

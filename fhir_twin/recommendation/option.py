"""Option: one allowed intervention at one dose, with everything that its place in the plan depends on."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_twin.model.guidelines import Aim
from fhir_twin.model.intervention import Dose, Intervention
from fhir_twin.model.scenario import Choice, Trajectory
from fhir_twin.model.twin import Array


@dataclass(frozen=True, slots=True, repr=False)
class Option:
    """One allowed option of one choice. events: weighted 10-year change (negative is better), None when no risk
    equation applied; error: its Monte-Carlo standard error; better: share of draws with fewer events; closed: share
    of the distance to the unmet goals that it closes, 0..1; met: goals it serves; draws: weighted change of events in
    each common draw (D,), None without; price, price_goal: what the patient's preferences count against it; wishes:
    which of them do, in words; gives_way: one of them asks for another option of the same aim, if one is open;
    relative: log hazard ratio that ranks first in known cardiovascular disease."""

    trajectory: Trajectory
    intervention: Intervention
    choice: Choice
    events: float | None
    error: float
    better: float
    closed: float
    met: tuple[str, ...]
    proven: bool = False
    draws: Array | None = None
    price: float = 0.0
    price_goal: float = 0.0
    wishes: tuple[str, ...] = ()
    gives_way: bool = False
    relative: float = 0.0

    @property
    def score(self) -> float:
        """Weighted 10-year events (none where no equation applies) with the price of the preferences."""
        return (self.events or 0.0) + self.price

    @property
    def key(self) -> str:
        return self.trajectory.scenario.key

    @property
    def family(self) -> str:
        return self.intervention.family or self.intervention.key

    @property
    def dose(self) -> Dose | None:
        """The dose step of the choice; None for what has no doses."""
        return next((d for d in self.intervention.doses if d.key == self.choice.dose), None)


def belongs(option: Option, aim: Aim) -> bool:
    """Is it one of the options of this aim, by name or by class?"""
    return option.intervention.key in aim.interventions or bool(
        aim.classes & set(option.intervention.classes)
    )

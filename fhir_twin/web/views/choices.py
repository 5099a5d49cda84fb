"""What-if, the form: what can be chosen at which dose, what safety rules keep out, and what was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fhir_twin.errors import InvalidInput
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.intervention import Dose, Intervention
from fhir_twin.model.scenario import Choice
from fhir_twin.pipeline import Run
from fhir_twin.simulation.ladder import step, taken

HARD = frozenset({"contraindicated", "interaction", "allergy"})
HORIZONS = (1.0, 3.0, 5.0, 10.0)
ADHERENCE = (("", "as in trials"), ("0.8", "80 %"), ("0.57", "57 % (usual refills)"), ("0.3", "30 %"))
DELAYS = (("0", "now"), ("0.5", "in 6 months"), ("1", "in 1 year"), ("3", "in 3 years"))
GROUPS = ("Blood pressure", "Lipids", "Glucose and weight", "Heart and kidney", "Habits")
_GROUP_OF = {
    "sbp": 0, "dbp": 0, "ldl": 1, "total-cholesterol": 1, "triglycerides": 1, "hba1c": 2, "fasting-glucose": 2,
    "bmi": 2, "weight": 2, "egfr": 3, "uacr": 3,
}  # fmt: skip
LIMIT = 6


@dataclass(frozen=True, slots=True, repr=False)
class Item:
    """One intervention in the form. options: (value, words); chosen: its value now. state: "" | taken | blocked. why:
    of a blocked one, or what is taken. near: shown at once (in the plan, taken, or chosen)."""

    key: str
    title: str
    group: str
    options: tuple[tuple[str, str], ...]
    chosen: str
    state: str
    why: str
    proposed: bool

    @property
    def near(self) -> bool:
        return self.proposed or self.state == "taken" or bool(self.chosen)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the form said: intervention -> dose key or "stop"."""

    picks: Mapping[str, str]
    horizon: float = 10.0
    adherence: str = ""
    delay: str = "0"


def wish_of(form: Mapping[str, str]) -> Wish:
    """Raises InvalidInput for a number that is none of those offered."""
    picks = {key[2:]: value for key, value in form.items() if key.startswith("w-") and value}
    try:
        span = float(form.get("horizon") or 10.0)
    except ValueError:
        raise InvalidInput("the horizon is not a number") from None
    adherence, delay = form.get("adherence", ""), form.get("delay", "0")
    known = adherence in dict(ADHERENCE) and delay in dict(DELAYS) and span in HORIZONS
    if not known:
        raise InvalidInput("horizon, adherence or delay is none of those offered")
    return Wish(picks, span, adherence, delay)


def items(run: Run, k: Knowledge, wish: Wish) -> tuple[Item, ...]:
    """Everything that can be simulated, by group; what a safety rule stops is shown with the reason, not offered."""
    blocked = _blocked(run)
    proposed = {r.key for r in run.plan.recommendations}
    found = []
    for item in k.interventions.items:
        if item.by_guideline or not (item.effects or item.events):
            continue
        drugs = taken(run.coded, item)
        why, state = blocked.get(item.key, ""), "blocked" if item.key in blocked else ""
        options = _options(item, step(item, drugs) if drugs else None, bool(drugs))
        if drugs:
            names = ", ".join(sorted({i for d in drugs for i in d.ingredients})) or item.title
            state, why = "taken", f"taken now: {names}"
        chosen = wish.picks.get(item.key, "") if state != "blocked" else ""
        group = GROUPS[_group(item)]
        found.append(Item(item.key, item.title, group, options, chosen, state, why, item.key in proposed))
    order = {name: i for i, name in enumerate(GROUPS)}
    rank = {"": 0, "taken": 0, "blocked": 1}
    return tuple(sorted(found, key=lambda i: (order[i.group], rank[i.state], not i.proposed, i.title)))


def _blocked(run: Run) -> dict[str, str]:
    found: dict[str, str] = {}
    for rejection in run.plan.rejected:
        choices = rejection.scenario.choices
        if rejection.kind in HARD and len(choices) == 1:
            found.setdefault(choices[0].intervention, rejection.reason)
    return found


def _options(item: Intervention, current: Dose | None, on_it: bool) -> tuple[tuple[str, str], ...]:
    doses = [(d.key, d.label or d.key) for d in item.doses if current is None or d.key != current.key]
    if item.kind != "medication":
        doses = [(d.key, d.label if len(item.doses) > 1 and d.label else "do it") for d in item.doses]
    if not on_it:
        return tuple(doses)
    higher = doses if current is not None else []  # without the present step a difference cannot be told
    return (*((key, f"change to {label}") for key, label in higher), ("stop", "stop it"))


def _group(item: Intervention) -> int:
    if item.kind != "medication" or item.family == "smoking-drug":
        return 4
    return next((_GROUP_OF[e.biomarker] for e in item.effects if e.biomarker in _GROUP_OF), 3)


def choices_of(run: Run, k: Knowledge, wish: Wish) -> tuple[Choice, ...]:
    """Raises InvalidInput for what is unknown, stopped by a safety rule, or too much at once."""
    offered = {i.key: i for i in items(run, k, replace(wish, picks={}))}
    if len(wish.picks) > LIMIT:
        raise InvalidInput(f"choose at most {LIMIT} at once")
    found = []
    for key, value in wish.picks.items():
        item = offered.get(key)
        if item is None or value not in dict(item.options):
            raise InvalidInput("this is none of the options offered")
        if item.state == "blocked":
            raise InvalidInput("a safety rule speaks against one of these; the reason stands beside it")
        found.append(_choice(k.interventions.get(key), value, run, wish))
    return tuple(found)


def _choice(item: Intervention, value: str, run: Run, wish: Wish) -> Choice:
    adherence = float(wish.adherence) if wish.adherence else None
    if value == "stop":
        return Choice(item.key, item.starter, float(wish.delay), adherence, stop=True)
    drugs = taken(run.coded, item)
    current = step(item, drugs) if drugs else None
    return Choice(item.key, value, float(wish.delay), adherence, from_dose=current.key if current else "")

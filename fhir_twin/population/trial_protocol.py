"""Trial protocols as TOML -> Protocol. Legend: mappings/trials/README.md. What does not fit is refused, naming
the key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_twin.errors import InvalidInput
from fhir_twin.model.intervention import Interventions
from fhir_twin.model.scenario import Choice
from fhir_twin.simulation.what_if import choice_of, scenario_of

Range = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Who may take part. Ranges are inclusive, None = open. has: condition groups, all of them; without: none of them;
    takes, not_taking: drug classes or ingredients; biomarkers: the twin's personal estimate must lie inside
    (an estimate without own measurements does not count); risk: of an outcome within ten years."""

    age: Range = (None, None)
    sex: str = ""
    smoker: bool | None = None
    has: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    not_taking: tuple[str, ...] = ()
    biomarkers: tuple[tuple[str, float | None, float | None], ...] = ()
    risk: tuple[tuple[str, float | None, float | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Arm:
    """choices () = goes on as now (the control). share: of the randomised."""

    name: str
    choices: tuple[Choice, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Published:
    """What a real trial found: hazard ratio with its 95 % interval; circular: our own ratio rests on this
    trial, so that meeting it proves nothing but the arithmetic."""

    ratio: float
    low: float
    high: float
    source: str
    circular: bool = False


@dataclass(frozen=True, slots=True)
class Replica:
    """A trial told by its published figures. control_rate: events per 100 person-years; effect: by the change of a
    biomarker (canonical unit) or by an intervention's own class ratio (groups: who they were)."""

    control_rate: float
    arms: tuple[int, int]
    biomarker: str = ""
    change: float = 0.0
    intervention: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """A trial on a cohort (arms), or the replica of a published one. follow_up in years; dropout: share a year;
    primary: outcome, or "biomarker:KEY" for a continuous endpoint at the end of follow-up."""

    key: str
    title: str
    follow_up: float
    primary: str
    secondary: tuple[str, ...] = ()
    participants: int = 2000
    replicates: int = 200
    seed: int = 1
    alpha: float = 0.05
    power: float = 0.9
    dropout: float = 0.0
    adjust: bool = True
    subgroups: tuple[str, ...] = ()
    eligibility: Eligibility = Eligibility()
    arms: tuple[Arm, ...] = ()
    published: Published | None = None
    replica: Replica | None = None


SEXES = ("female", "male", "other", "unknown")
SUBGROUPS = ("sex", "age", "diabetes", "smoker", "risk")
_TOP = {"trial", "eligibility", "arm", "published", "replica", "evidence"}
_TRIAL = {
    "title", "follow_up", "primary", "secondary", "participants", "replicates", "seed", "alpha", "power", "dropout",
    "adjust", "subgroups",
}  # fmt: skip


def read_protocol(path: Path, interventions: Interventions) -> Protocol:
    """Raises InvalidInput naming the file's key that does not fit."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise InvalidInput("the protocol cannot be read") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"the protocol is not TOML: {error}") from None
    return protocol_of(path.stem, table, interventions)


def protocol_of(key: str, table: dict[str, Any], interventions: Interventions) -> Protocol:
    """From a parsed table."""
    _known("", table, _TOP)
    trial = table.get("trial")
    if not isinstance(trial, dict):
        raise InvalidInput("protocol: [trial] is missing")
    _known("trial", trial, _TRIAL)
    try:
        if not 0.25 <= float(trial["follow_up"]) <= 10.0:
            raise InvalidInput("protocol: follow_up must lie within 0.25 and 10 years")
        protocol = Protocol(
            key=key,
            title=str(trial["title"]),
            follow_up=float(trial["follow_up"]),
            primary=str(trial["primary"]),
            secondary=tuple(str(x) for x in trial.get("secondary", ())),
            participants=int(trial.get("participants", 2000)),
            replicates=int(trial.get("replicates", 200)),
            seed=int(trial.get("seed", 1)),
            alpha=float(trial.get("alpha", 0.05)),
            power=float(trial.get("power", 0.9)),
            dropout=float(trial.get("dropout", 0.0)),
            adjust=bool(trial.get("adjust", True)),
            subgroups=tuple(str(x) for x in trial.get("subgroups", ())),
            eligibility=_eligibility(table.get("eligibility", {})),
            arms=tuple(_arm(a, interventions, float(trial["follow_up"])) for a in table.get("arm", ())),
            published=_published(table["published"]) if "published" in table else None,
            replica=_replica(table["replica"], interventions) if "replica" in table else None,
        )
    except KeyError as error:
        raise InvalidInput(f"protocol: {error.args[0]} is missing") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidInput(f"protocol: {error}") from None
    _check(protocol)
    return protocol


def _known(where: str, table: dict[str, Any], keys: set[str]) -> None:
    unknown = sorted(set(table) - keys)
    if unknown:
        raise InvalidInput(f"protocol: unknown key {where + '.' if where else ''}{unknown[0]}")


def _check(p: Protocol) -> None:
    rules = (
        (20 <= p.participants <= 1_000_000, "participants must lie within 20 and 1,000,000"),
        (10 <= p.replicates <= 10_000, "replicates must lie within 10 and 10,000"),
        (0.0 < p.alpha < 0.5 and 0.0 < p.power < 1.0, "alpha and power must be shares"),
        (0.0 <= p.dropout < 1.0, "dropout must be a share a year"),
        (set(p.subgroups) <= set(SUBGROUPS), f"subgroups are {', '.join(SUBGROUPS)}"),
        ((p.replica is None) != (not p.arms), "a protocol has either two or more [[arm]] or a [replica]"),
        (p.replica is not None or len(p.arms) >= 2, "a trial needs at least two arms"),
        (not p.arms or not p.arms[0].choices, "the first arm is the control and has no choices"),
        (p.replica is None or p.published is not None, "a [replica] needs what was [published]"),
        (not p.arms or abs(sum(a.share for a in p.arms) - 1.0) < 1e-6, "the arms' shares must add up to 1"),
        (all(0.0 < a.share < 1.0 for a in p.arms), "each arm's share must lie between 0 and 1"),
        (len({a.name for a in p.arms}) == len(p.arms), "two arms have the same name"),
        (p.replica is not None or _enough(p), "an arm would have fewer than 2 participants"),
        (p.eligibility.sex in ("", *SEXES), f"eligibility.sex is one of {', '.join(SEXES)}"),
        (p.eligibility.smoker in (None, True, False), "eligibility.smoker is true or false"),
    )
    for good, words in rules:
        if not good:
            raise InvalidInput(f"protocol: {words}")


def _enough(p: Protocol) -> bool:
    """Each comparison with the control has two or more people on either side."""
    shares = [a.share / (p.arms[0].share + a.share) for a in p.arms[1:] if p.arms[0].share + a.share > 0]
    return all(2 <= round(p.participants * s) <= p.participants - 2 for s in shares)


def _words(table: dict[str, Any], key: str) -> tuple[str, ...]:
    """A list of words; a bare word would be taken letter by letter."""
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(w, str) for w in found):
        raise InvalidInput(f"protocol: eligibility.{key} must be a list of words")
    return tuple(found)


def _eligibility(table: dict[str, Any]) -> Eligibility:
    _known("eligibility", table, set(Eligibility.__slots__))
    return Eligibility(
        age=_range(table.get("age", ())),
        sex=str(table.get("sex", "")),
        smoker=table.get("smoker"),
        has=_words(table, "has"),
        without=_words(table, "without"),
        takes=_words(table, "takes"),
        not_taking=_words(table, "not_taking"),
        biomarkers=tuple((k, *_range(v)) for k, v in table.get("biomarkers", {}).items()),
        risk=tuple((k, *_range(v)) for k, v in table.get("risk", {}).items()),
    )


def _range(value: Any) -> Range:
    """[low, high]; "" = open at that end."""
    if not value:
        return None, None
    low, high = value
    return (None if low == "" else float(low)), (None if high == "" else float(high))


def _arm(table: dict[str, Any], interventions: Interventions, follow_up: float) -> Arm:
    _known("arm", table, {"name", "choices", "share"})
    choices = tuple(choice_of(c, interventions) for c in table.get("choices", ()))
    scenario_of(
        choices, interventions, horizon_years=max(follow_up, 1.0)
    )  # refuses what does not go together
    return Arm(str(table["name"]), choices, float(table.get("share", 0.5)))


def _published(table: dict[str, Any]) -> Published:
    _known("published", table, set(Published.__slots__))
    return Published(
        float(table["ratio"]), float(table["low"]), float(table["high"]), str(table["source"]),
        bool(table.get("circular", False)),
    )  # fmt: skip


def _replica(table: dict[str, Any], interventions: Interventions) -> Replica:
    _known("replica", table, set(Replica.__slots__))
    control, treated = table["arms"]
    found = Replica(
        float(table["control_rate"]), (int(control), int(treated)), str(table.get("biomarker", "")),
        float(table.get("change", 0.0)), str(table.get("intervention", "")), tuple(table.get("groups", ())),
    )  # fmt: skip
    if bool(found.biomarker) == bool(found.intervention):
        raise ValueError("replica: give either a biomarker with its change, or an intervention")
    if found.intervention:
        try:
            interventions.get(found.intervention)
        except KeyError:
            raise ValueError("replica: unknown intervention") from None
    return found

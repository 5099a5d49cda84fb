"""Fairness and validity: is the twin as right, and as useful, for every group?

From a retrospective run (`--index`): calibration (observed over expected events), discrimination (Harrell's C), and
from any run: coverage of the 80 % intervals, proposal rates, and what is missing. "Not recorded" is a group of its
own; groups with fewer than `least` people are suppressed, and so is the next smallest if only one would be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fhir_twin.errors import InvalidInput
from fhir_twin.population import statistics as st
from fhir_twin.population.results import Results
from fhir_twin.population.statistics import NONE, Interval

UNKNOWN = "not recorded"
BANDS = ((0, 45), (45, 55), (55, 65), (65, 75), (75, 200))
COVERAGE = (0.76, 0.84)  # alarm outside (evidence: 80 % interval)
LEAST = 10
HORIZON = 10.0  # years that the tested risks cover
FEW = 5  # events below this are not told, nor what they could be worked out from


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group. suppressed: too few people; then only the name and dimension are told. events: -1 = fewer than 5.
    flags: in words, what differs
    from the whole by more than chance."""

    dimension: str
    group: str
    people: int
    suppressed: bool = False
    events: int = 0
    expected: float = float("nan")
    calibration: Interval = NONE
    discrimination: Interval = NONE
    coverage: Interval = NONE
    proposed: Interval = NONE
    drug_proposed: Interval = NONE
    risk_told: Interval = NONE
    measured: float = float("nan")
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fairness:
    """rows: "all" first, then by dimension; deciles: (mean predicted, observed, low, high) of up to ten risk groups
    over the follow-up; outcome and years: of the risk that was tested ("" in a run without look back)."""

    rows: tuple[GroupRow, ...]
    outcome: str
    followed: float
    deciles: tuple[tuple[float, float, float, float], ...] = ()
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, repr=False)
class _People:
    """One row per person with a plan, as arrays."""

    dimensions: dict[str, list[str]]
    risk: np.ndarray[Any, np.dtype[np.float64]]  # ten-year probability, NaN = not told
    event: np.ndarray[Any, np.dtype[np.float64]]  # NaN = not observed
    years: np.ndarray[Any, np.dtype[np.float64]]
    inside: np.ndarray[Any, np.dtype[np.float64]]  # residuals inside the 80 % interval
    tested: np.ndarray[Any, np.dtype[np.float64]]
    proposed: np.ndarray[Any, np.dtype[np.bool_]]
    drug: np.ndarray[Any, np.dtype[np.bool_]]
    measured: np.ndarray[Any, np.dtype[np.float64]]


def fairness(results: Results, *, outcome: str = "cvd", least: int = LEAST) -> Fairness:
    """The whole report as data. Raises InvalidInput when `least` is below 5 or the run holds nobody with a plan."""
    if least < 5:
        raise InvalidInput("cells of fewer than 5 people must not be told")
    people = _people(results, outcome)
    if not len(people.risk):
        raise InvalidInput("nobody in this run has a plan: there is nothing to report on")
    everyone = np.ones(len(people.risk), dtype=bool)
    whole = _row("all", "all", people, everyone)
    rows = [whole]
    for dimension, labels in people.dimensions.items():
        rows += _dimension(dimension, labels, people, whole, least)
    looked_back = bool(results.manifest["task"]["index"])
    followed = (
        float(np.nanmean(people.years)) if looked_back and not np.all(np.isnan(people.years)) else math.nan
    )
    deciles = _deciles(people) if looked_back else ()
    notes = () if looked_back else (
        "This run did not look back (no --index): calibration and discrimination cannot be told.",
    )  # fmt: skip
    return Fairness(tuple(rows), outcome if looked_back else "", followed, deciles, notes)


def _people(results: Results, outcome: str) -> _People:
    rows = results.dicts(
        """
        select p.patient, p.age, p.sex, p.race, p.ethnicity, p.language, p.deprivation, r.probability,
            o.event, o.years, coalesce(z.inside, 0) as inside, coalesce(z.tested, 0) as tested,
            coalesce(a.proposed, false) as proposed, coalesce(a.drug, false) as drug,
            coalesce(e.measured, 0) as measured
        from patients p
        left join (select patient, max(probability) as probability from risks where outcome = ? and years = 10
            group by patient) r on r.patient = p.patient
        left join (select patient, event, years from observed where outcome = ?) o on o.patient = p.patient
        left join (select patient, sum(inside::int) as inside, count(*) as tested from residuals group by patient) z
            on z.patient = p.patient
        left join (select patient, bool_or(worth > 0) as proposed,
            bool_or(kind = 'medication' and worth > 0) as drug from proposals group by patient) a
            on a.patient = p.patient
        left join (select patient, count(*) filter (observations > 0) as measured from estimates group by patient) e
            on e.patient = p.patient
        where p.state = 'ok' order by p.patient
        """,
        [outcome, outcome],
    )

    def numbers(key: str) -> Any:
        return np.array([np.nan if r[key] is None else float(r[key]) for r in rows], dtype=np.float64)

    dimensions = {
        "sex": [r["sex"] if r["sex"] in ("female", "male", "other") else UNKNOWN for r in rows],
        "age": [_band(r["age"]) for r in rows],
        "race": [r["race"] or UNKNOWN for r in rows],
        "ethnicity": [r["ethnicity"] or UNKNOWN for r in rows],
        "language": [r["language"] or UNKNOWN for r in rows],
        "deprivation": [_third(r["deprivation"]) for r in rows],
    }
    return _People(
        dimensions, numbers("probability"), numbers("event"), numbers("years"), numbers("inside"), numbers("tested"),
        numbers("proposed") > 0, numbers("drug") > 0, numbers("measured"),
    )  # fmt: skip


def _band(age: float | None) -> str:
    found = None if age is None else next((b for b in BANDS if b[0] <= age < b[1]), None)
    if found is None:  # also what is no age: NaN, negative
        return UNKNOWN
    low, high = found
    return f"under {high}" if low == 0 else (f"{low} and over" if high == 200 else f"{low}-{high - 1}")


def _third(decile: str) -> str:
    """Deciles 1 to 10 in three groups. Anything else (a rank, a postcode) is not repeated: it may name a person."""
    if not decile.strip():
        return UNKNOWN
    try:
        number = float(decile)
    except ValueError:
        return "recorded, not a decile"
    if not 1 <= number <= 10:
        return "recorded, not a decile"
    return (
        "least deprived (1-3)" if number <= 3 else "middle (4-7)" if number <= 7 else "most deprived (8-10)"
    )


def _dimension(name: str, labels: list[str], people: _People, whole: GroupRow, least: int) -> list[GroupRow]:
    names = np.array(labels)
    counts = {g: int((names == g).sum()) for g in sorted(set(labels), key=lambda g: (g == UNKNOWN, g))}
    small = {g for g, n in counts.items() if n < least}
    if len(small) == 1 and len(counts) > 1:  # else the total would give it away
        small.add(min((n, g) for g, n in counts.items() if g not in small)[1])
    found = []
    for group in counts:
        if group in small:
            found.append(GroupRow(name, group, 0, suppressed=True))
        else:
            found.append(_flagged(_row(name, group, people, names == group), whole))
    return _hidden(found, whole) if not small else found


def _hidden(rows: list[GroupRow], whole: GroupRow) -> list[GroupRow]:
    """Where one group alone has too few events to tell, the total less the others would tell them: the next fewest go
    too."""
    told = [r for r in rows if r.events >= FEW]
    if whole.events < FEW or len(told) != len(rows) - 1 or not told:
        return rows
    least = min(told, key=lambda r: (r.events, r.group))
    kept = tuple(f for f in least.flags if not f.startswith(("calibration", "discrimination")))
    hidden = replace(least, events=-1, calibration=NONE, discrimination=NONE, flags=kept)
    return [hidden if r is least else r for r in rows]


def _row(dimension: str, group: str, people: _People, here: Any) -> GroupRow:
    count = int(here.sum())
    followed = here & ~np.isnan(people.risk) & ~np.isnan(people.event) & (people.years > 0)
    risk, years = people.risk[followed], people.years[followed]
    event = people.event[followed] * (years <= HORIZON)  # later ones are beyond what the risk speaks of
    expected = float(np.sum(-np.log1p(-risk) * np.minimum(years, HORIZON) / HORIZON))
    events = int(event.sum())
    few = events < FEW
    told = int((here & ~np.isnan(people.risk)).sum())
    return GroupRow(
        dimension,
        group,
        count,
        events=-1 if few else events,
        expected=expected if len(risk) else math.nan,
        calibration=NONE if few else st.observed_expected(events, expected),
        discrimination=NONE if few else st.concordance(risk, years, event),
        coverage=st.clustered_share(people.inside[here], people.tested[here]),
        proposed=st.share(int(people.proposed[here].sum()), count),
        drug_proposed=st.share(int(people.drug[here].sum()), count),
        risk_told=st.share(told, count),
        measured=float(people.measured[here].mean()) if count else math.nan,
    )


def _flagged(row: GroupRow, whole: GroupRow) -> GroupRow:
    """What differs from the whole: the group's interval does not hold the whole's value."""
    flags = []
    tests: tuple[tuple[str, Callable[[GroupRow], Interval]], ...] = (
        ("calibration", lambda r: r.calibration),
        ("discrimination", lambda r: r.discrimination),
        ("proposals", lambda r: r.proposed),
        ("drug proposals", lambda r: r.drug_proposed),
        ("risk told", lambda r: r.risk_told),
    )
    for name, get in tests:
        own, all_ = get(row), get(whole)
        if not math.isnan(own.low) and not math.isnan(all_.value):
            if own.low > all_.value:
                flags.append(f"{name}: higher than in all")
            elif own.high < all_.value:
                flags.append(f"{name}: lower than in all")
    inside = row.coverage
    if not math.isnan(inside.value) and (inside.high < COVERAGE[0] or inside.low > COVERAGE[1]):
        flags.append("coverage: outside 76-84 %")
    return GroupRow(**{**{n: getattr(row, n) for n in GroupRow.__slots__}, "flags": tuple(flags)})


def _deciles(people: _People) -> tuple[tuple[float, float, float, float], ...]:
    """Up to ten groups of predicted risk over the time each person was followed (10 events in each on average): mean
    expected and observed, with the interval of O/E."""
    used = ~np.isnan(people.risk) & ~np.isnan(people.event) & (people.years > 0)
    within = people.event[used] * (people.years[used] <= HORIZON)
    groups = min(10, int(within.sum()) // (2 * FEW))
    if groups < 2:
        return ()
    hazard = -np.log1p(-people.risk[used]) * np.minimum(people.years[used], HORIZON) / HORIZON
    event = within
    found = []
    for part in _merged(np.array_split(np.argsort(hazard, kind="stable"), groups), event):
        expected, seen = float(hazard[part].sum()), int(event[part].sum())
        ratio = st.observed_expected(seen, expected)
        per = expected / len(part)
        found.append((per, ratio.value * per, ratio.low * per, ratio.high * per))
    return tuple(found)


def _merged(parts: list[Any], event: Any) -> list[Any]:
    """Neighbours together until each has events enough to be told (the last with the one before it)."""
    found: list[Any] = []
    for part in parts:
        if found and event[found[-1]].sum() < FEW:
            found[-1] = np.concatenate([found[-1], part])
        else:
            found.append(part)
    if len(found) > 1 and event[found[-1]].sum() < FEW:
        last = found.pop()
        found[-1] = np.concatenate([found[-1], last])
    return found

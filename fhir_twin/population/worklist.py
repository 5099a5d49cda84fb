"""The worklist: who gains most from the best next action, and why.

Ranked by the expected benefit of the best next action (weighted events avoided within ten years against "continue as
now", from the simulation, on the plan's own scale), not by risk: somebody at high risk for whom nothing helps
stands lower than somebody who can be helped. Dangers in what is taken now (findings of high severity) can be asked for
first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_twin.errors import InvalidInput
from fhir_twin.population.results import Results

# order -> what sorts the list; every order ends with the patient's id, so that pages never overlap
ORDERS: dict[str, str] = {
    "benefit": "worth desc nulls last, high_findings desc, patient",
    "danger": "high_findings desc, worth desc nulls last, patient",
    "risk": "risk desc nulls last, patient",
    "due": "due_count desc, worth desc nulls last, patient",
    "gaps": "question_count desc, worth desc nulls last, patient",
}
SEXES = ("female", "male", "other", "unknown")


@dataclass(frozen=True, slots=True)
class Filter:
    """Everything optional. action: words in the proposal's title or key; condition: a condition group; due: words in a
    due screening; outcome: of the benefit; patients: ids."""

    order: str = "benefit"
    action: str = ""
    condition: str = ""
    due: str = ""
    outcome: str = ""
    sex: str = ""
    age_from: float | None = None
    age_to: float | None = None
    least_worth: float | None = None
    danger: bool = False
    search: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One patient of the worklist. worth: weighted events avoided within ten years, 80 % interval worth_low to
    worth_high; benefit: fall of the probability of `outcome` within `years`, 80 % interval low to high; None when no
    proposal has a number. dangers: findings of high severity, findings: the others. risk: of that outcome (else of
    any) as things are."""

    place: int
    patient: str
    age: float | None
    sex: str
    action: str
    key: str
    outcome: str
    years: float | None
    worth: float | None
    worth_low: float | None
    worth_high: float | None
    benefit: float | None
    low: float | None
    high: float | None
    risk: float | None
    why: str
    certainty: str
    due: tuple[str, ...]
    questions: tuple[str, ...]
    findings: tuple[str, ...]
    conditions: tuple[str, ...]
    dangers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """entries from `offset` on; total: of the whole filtered list."""

    entries: tuple[Entry, ...]
    total: int
    offset: int


_BASE = """
with best as (
    select * from (
        select *, row_number() over (partition by patient order by worth desc nulls last, rank, key) as n
        from proposals where kind not in ('test', 'screening') or worth is not null
    ) where n = 1
), risk as (
    select patient, outcome, max(probability) as probability from risks where years <= 10 group by patient, outcome
), worst as (
    select patient, max(probability) as probability from risks where years <= 10 group by patient
), gap as (
    select patient,
        list(distinct text order by text) filter (kind = 'due') as due,
        list(distinct text order by text) filter (kind = 'question') as questions,
        list(distinct text order by text) filter (kind = 'finding' and severity != 'high') as findings,
        list(distinct text order by text) filter (kind = 'finding' and severity = 'high') as dangers,
        count(distinct text) filter (kind = 'due') as due_count,
        count(distinct text) filter (kind = 'question') as question_count,
        count(distinct text) filter (kind = 'finding' and severity = 'high') as high_findings
    from gaps group by patient
)
select p.patient, p.age, p.sex, coalesce(b.title, '') as action, coalesce(b.key, '') as key,
    coalesce(b.outcome, '') as outcome, b.years, b.worth, b.worth_low, b.worth_high, b.benefit, b.low, b.high,
    coalesce(r.probability, w.probability) as risk, coalesce(b.why, '') as why,
    coalesce(b.certainty, '') as certainty, coalesce(g.due, []) as due, coalesce(g.questions, []) as questions,
    coalesce(g.findings, []) as findings, coalesce(g.dangers, []) as dangers, p.conditions,
    coalesce(g.high_findings, 0) as high_findings,
    coalesce(g.due_count, 0) as due_count, coalesce(g.question_count, 0) as question_count
from patients p
left join best b on b.patient = p.patient
left join risk r on r.patient = p.patient and r.outcome = b.outcome
left join worst w on w.patient = p.patient
left join gap g on g.patient = p.patient
where p.state = 'ok'
"""


def worklist(results: Results, chosen: Filter, *, offset: int = 0, limit: int = 50) -> Page:
    """One page. Raises InvalidInput for an unknown order or sex, or a page out of range."""
    if chosen.order not in ORDERS:
        raise InvalidInput(f"order must be one of {', '.join(ORDERS)}")
    if chosen.sex and chosen.sex not in SEXES:
        raise InvalidInput(f"sex must be one of {', '.join(SEXES)}")
    if offset < 0 or not 0 < limit <= 1_000_000:
        raise InvalidInput("offset must not be negative, limit must be positive")
    where, values = _conditions(chosen)
    # S608: only our own text goes into the query; every value of the caller is a parameter
    inner = f"select * from ({_BASE}) as all_patients {where}"  # noqa: S608
    total = int(results.rows(f"select count(*) from ({inner}) as counted", values)[0][0])  # noqa: S608
    found = results.dicts(
        f"{inner} order by {ORDERS[chosen.order]} limit {int(limit)} offset {int(offset)}", values
    )
    entries = tuple(_entry(offset + n, row) for n, row in enumerate(found, 1))
    return Page(entries, total, offset)


def _conditions(chosen: Filter) -> tuple[str, list[Any]]:
    """SQL with placeholders, and the values for them."""
    parts: list[tuple[str, list[Any]]] = []
    if chosen.action:
        parts.append(("(contains(lower(action), ?) or contains(key, ?))", [chosen.action.lower()] * 2))
    if chosen.condition:
        parts.append(("list_contains(string_split(conditions, ' '), ?)", [chosen.condition]))
    if chosen.due:
        parts.append(("len(list_filter(due, lambda x: contains(lower(x), ?))) > 0", [chosen.due.lower()]))
    for column, value in (("outcome", chosen.outcome), ("sex", chosen.sex)):
        if value:
            parts.append((f"{column} = ?", [value]))
    for text, number in (
        ("age >= ?", chosen.age_from),
        ("age <= ?", chosen.age_to),
        ("worth >= ?", chosen.least_worth),
    ):
        if number is not None:
            parts.append((text, [number]))
    if chosen.danger:
        parts.append(("high_findings > 0", []))
    if chosen.search:
        parts.append(("contains(lower(patient), ?)", [chosen.search.lower()]))
    text = " and ".join(part for part, _ in parts)
    return (f"where {text}" if text else ""), [v for _, values in parts for v in values]


def _entry(place: int, row: dict[str, Any]) -> Entry:
    return Entry(
        place, row["patient"], row["age"], row["sex"], row["action"], row["key"], row["outcome"], row["years"],
        row["worth"], row["worth_low"], row["worth_high"], row["benefit"], row["low"], row["high"], row["risk"],
        row["why"], row["certainty"], tuple(row["due"]),
        tuple(row["questions"]), tuple(row["findings"]), tuple(row["conditions"].split()), tuple(row["dangers"]),
    )  # fmt: skip

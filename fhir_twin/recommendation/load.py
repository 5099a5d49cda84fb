"""load_guidelines: mappings/guidelines, screening and pharmacogenomics -> Guidelines. Legends in their READMEs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fhir_twin.model.codes import LOINC, SNOMED, Coding
from fhir_twin.model.guidelines import (
    Aim,
    Answers,
    Conflict,
    DueRule,
    Gate,
    GoalRule,
    GoalVariant,
    Guidelines,
    PreferenceRule,
    Preferences,
    Ranking,
)
from fhir_twin.model.rules import Evidence
from fhir_twin.rules.parse import parse
from fhir_twin.rules.tables import cited, only, read_evidence
from mappings import Source

TOP = {"measures", "goal", "gap", "ranking", "aim", "gate", "conflict", "evidence", "answers"}
TOP |= {"preference", "preference_words"}
CRITERIA = ("injection", "pills", "cost", "weight-gain", "burden", "none")
GOAL = {"key", "description", "when", "unless", "variant", "comparator", "relative", "due_days", "category"}
GOAL |= {"priority", "addresses", "evidence"}
DUE = {
    "key",
    "kind",
    "title",
    "loinc",
    "snomed",
    "display",
    "when",
    "unless",
    "reason",
    "done",
    "grade",
    "strength",
}
DUE |= {"patient_text", "addresses", "order", "evidence", "confirms"}
KINDS = ("test", "screening", "referral", "education")


def load_guidelines(source: Source) -> Guidelines:
    """Read all guideline files. Raises ValueError naming file and key."""
    goals: list[GoalRule] = []
    gaps: list[DueRule] = []
    ranking = Ranking()
    answers = Answers()
    aims: list[Aim] = []
    gates: list[Gate] = []
    conflicts: list[Conflict] = []
    measures: dict[str, list[str]] = {}
    wishes = Preferences()
    for name, table in source.toml("guidelines"):
        only(table, TOP, name)
        evidence = read_evidence(table, name)
        measures.update(table.get("measures", {}))
        goals += [_goal(row, f"{name}: {row.get('key')}", evidence) for row in table.get("goal", ())]
        gaps += [_due(row, f"{name}: {row.get('key')}", evidence) for row in table.get("gap", ())]
        aims += [_aim(row, name) for row in table.get("aim", ())]
        gates += [_gate(row, name, evidence) for row in table.get("gate", ())]
        conflicts += [
            _conflict(row, f"{name}: {row.get('key')}", evidence) for row in table.get("conflict", ())
        ]
        if "preference" in table:
            wishes = _preferences(table, name, evidence)
        if "ranking" in table:
            ranking = _ranking(table["ranking"], name)
        if "answers" in table:
            answers = _answers(table["answers"], name)
    _measured(goals, measures)
    return Guidelines(
        goals=tuple(goals),
        gaps=tuple(gaps),
        screening=_screening(source),
        ranking=ranking,
        answers=answers,
        aims=tuple(aims),
        gates=tuple(gates),
        conflicts=tuple(conflicts),
        measures={key: Coding(LOINC, row[0], row[1]) for key, row in measures.items()},
        units={key: (row[2], row[3]) for key, row in measures.items()},
        aliases={key: tuple(row[4:]) for key, row in measures.items()},
        preferences=wishes,
    )


def _goal(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> GoalRule:
    only(row, GOAL, where)
    return GoalRule(
        key=row["key"],
        description=row["description"],
        when=parse(row["when"], where),
        variants=tuple(_variant(v, where) for v in row["variant"]),
        comparator=row.get("comparator", "<"),
        relative=row.get("relative", False),
        unless=parse(row["unless"], where) if "unless" in row else None,
        due_days=row.get("due_days", 180),
        category=row.get("category", ""),
        priority=row.get("priority", "medium-priority"),
        addresses=tuple(row.get("addresses", ())),
        evidence=cited(row, evidence, where),
    )


def _variant(row: Mapping[str, Any], where: str) -> GoalVariant:
    only(row, {"when", "limits", "why"}, where)
    limits = tuple((key, Decimal(str(value))) for key, value in row["limits"].items())
    return GoalVariant(limits, parse(row["when"], where) if "when" in row else None, row.get("why", ""))


def _due(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> DueRule:
    only(row, DUE, where)
    if row["kind"] not in KINDS:
        raise ValueError(f"{where}: kind is one of {', '.join(KINDS)}")
    return DueRule(
        key=row["key"],
        kind=row["kind"],
        title=row["title"],
        code=_code(row),
        when=parse(row["when"], where),
        reason=row["reason"],
        done=tuple((str(what), int(days)) for what, days in row.get("done", ())),
        unless=parse(row["unless"], where) if "unless" in row else None,
        grade=row.get("grade", ""),
        strength=row.get("strength", ""),
        patient_text=row.get("patient_text", ""),
        addresses=tuple(row.get("addresses", ())),
        order=row.get("order", 50),
        evidence=cited(row, evidence, where),
        confirms=tuple(row.get("confirms", ())),
    )


def _screening(source: Source) -> tuple[DueRule, ...]:
    rules: list[DueRule] = []
    for name, table in source.toml("screening"):
        only(table, {"screening", "evidence"}, name)
        evidence = read_evidence(table, name)
        rules += [_due(row, f"{name}: {row.get('key')}", evidence) for row in table.get("screening", ())]
    return tuple(rules)


def _code(row: Mapping[str, Any]) -> Coding | None:
    if "loinc" in row:
        return Coding(LOINC, row["loinc"], row["display"])
    if "snomed" in row:
        return Coding(SNOMED, row["snomed"], row["display"])
    return None


def _ranking(row: Mapping[str, Any], where: str) -> Ranking:
    only(
        row,
        {
            "weights",
            "covers",
            "least_events",
            "least_better",
            "least_gap",
            "least_change",
            "draws",
            "most",
            "most_due",
            "most_advice",
            "similar",
            "most_unmeasured",
            "tie",
            "priority",
        },
        where,
    )
    covers = {key: tuple(parts) for key, parts in row["covers"].items()}
    return Ranking(**{**row, "covers": covers})


def _answers(row: Mapping[str, Any], where: str) -> Answers:
    only(row, {"days", "always", "accepted_days", "lapsed_days", "moved"}, where)
    return Answers(**{**row, "always": tuple(row["always"])})


def _preferences(table: Mapping[str, Any], name: str, evidence: Mapping[str, Evidence]) -> Preferences:
    words = table["preference_words"]
    only(words, {"unless", "loinc"}, name)
    rules = tuple(_preference(row, f"{name}: {row.get('key')}", evidence) for row in table["preference"])
    unknown = {key for rule in rules for key in rule.overrides} - {rule.key for rule in rules}
    if unknown:
        raise ValueError(f"{name}: overrides unknown preferences {', '.join(sorted(unknown))}")
    return Preferences(rules, tuple(words["unless"]), frozenset(words["loinc"]))


def _preference(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> PreferenceRule:
    known = {"key", "label", "words", "criterion", "price", "price_goal", "gives_way", "raises_weight"}
    only(row, known | {"overrides", "evidence", "answers"}, where)
    if row["criterion"] not in CRITERIA or row["price"] < 0 or row["price_goal"] < 0:
        raise ValueError(f"{where}: criterion or price")
    return PreferenceRule(
        key=row["key"],
        label=row["label"],
        words=tuple(tuple(group) for group in row["words"]),
        criterion=row["criterion"],
        price=float(row["price"]),
        price_goal=float(row["price_goal"]),
        gives_way=row.get("gives_way", False),
        raises_weight=frozenset(row.get("raises_weight", ())),
        overrides=frozenset(row.get("overrides", ())),
        evidence=cited(row, evidence, where),
        answers=tuple(tuple(group) for group in row.get("answers", ())),
    )


def _aim(row: Mapping[str, Any], where: str) -> Aim:
    only(row, {"key", "classes", "interventions", "at_first", "next", "more", "more_when"}, where)
    return Aim(
        key=row["key"],
        classes=frozenset(row.get("classes", ())),
        at_first=row["at_first"],
        next=row["next"],
        more=row.get("more", 0),
        more_when=parse(row["more_when"], where) if "more_when" in row else None,
        interventions=frozenset(row.get("interventions", ())),
    )


def _conflict(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> Conflict:
    only(row, {"key", "severity", "when", "unless", "text", "check", "evidence"}, where)
    if row["severity"] not in ("high", "moderate", "low"):
        raise ValueError(f"{where}: severity")
    return Conflict(
        key=row["key"],
        severity=row["severity"],
        when=parse(row["when"], where),
        text=row["text"],
        check=row["check"],
        unless=parse(row["unless"], where) if "unless" in row else None,
        evidence=cited(row, evidence, where),
    )


def _gate(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> Gate:
    only(row, {"interventions", "when", "reason", "evidence"}, where)
    when = parse(row["when"], where)
    return Gate(frozenset(row["interventions"]), when, row["reason"], cited(row, evidence, where))


def _measured(goals: list[GoalRule], measures: Mapping[str, list[str]]) -> None:
    for goal in goals:
        for variant in goal.variants:
            unknown = [key for key, _ in variant.limits if key not in measures]
            if unknown:
                raise ValueError(f"goal {goal.key}: no [measures] entry for {', '.join(unknown)}")

"""Checks of the safety knowledge beyond what loading refuses: every name must be known elsewhere in mappings/."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_twin.model.rules import Predicate, SafetyRules
from fhir_twin.rules.load import drug_names, load_safety
from mappings import Source

DRUG_OPS = ("takes", "allergic", "dose")
GROUP_OPS = ("has", "ever", "family")
ANALYTE_OPS = ("latest", "estimate", "known")
NOT_ANALYTES = frozenset({"pregnancy", "smoking", "age", "sex", "allergies"})
RISKS = frozenset({"cvd", "ascvd", "heart-failure", "kidney-failure", "diabetes", "mi", "stroke", "death"})


class Vocabulary:
    """Names that conditions may use: condition groups, drug classes and ingredients, analytes, interventions."""

    def __init__(self, source: Source) -> None:
        self.groups = {key for _, table in source.toml("conditions") for key in table}
        self.drugs = drug_names(source)
        self.analytes = set(_analytes(source))
        self.interventions = {table["key"] for _, table in source.toml("interventions") if "key" in table}

    def wrong(self, predicate: Predicate, where: str) -> Iterator[str]:
        """A sentence for every leaf that names something unknown."""
        for leaf in predicate.leaves():
            known = True
            if leaf.op in GROUP_OPS:
                known = leaf.key in self.groups
            elif leaf.op in DRUG_OPS:
                known = leaf.key in self.drugs
            elif leaf.op in ANALYTE_OPS:
                known = leaf.key in self.analytes | NOT_ANALYTES
            elif leaf.op == "risk":
                known = leaf.key in RISKS
            if not known:
                yield f"{where}: {leaf.op} names an unknown {leaf.key!r}"


def check_safety(source: Source) -> list[str]:
    """All problems of mappings/safety as sentences; empty when there are none."""
    try:
        safety = load_safety(source)
    except (ValueError, KeyError, TypeError) as error:
        return [f"safety: {error}"]
    vocabulary = Vocabulary(source)
    return sorted({*_rules(safety, vocabulary), *_others(safety, vocabulary)})


def _rules(safety: SafetyRules, vocabulary: Vocabulary) -> Iterator[str]:
    targets = vocabulary.drugs | vocabulary.interventions | {"*"}
    for rule in safety.rules:
        yield from vocabulary.wrong(rule.when, rule.key)
        for name in rule.applies_to:
            if name not in targets:
                yield f"{rule.key}: applies to an unknown drug or intervention {name!r}"
        if not rule.evidence:
            yield f"{rule.key}: no evidence"
        for item in rule.evidence:
            if item.verified and not (item.doi or item.pmid or item.url):
                yield f"{rule.key}: verified evidence without doi, pmid or url: {item.text}"


def _others(safety: SafetyRules, vocabulary: Vocabulary) -> Iterator[str]:
    for fact in safety.facts.values():
        yield from vocabulary.wrong(fact.known, f"fact {fact.key}")
        if fact.applies is not None:
            yield from vocabulary.wrong(fact.applies, f"fact {fact.key}")
    for cross in safety.cross_reactions:
        for name in (cross.allergen, *cross.applies_to):
            if name not in vocabulary.drugs:
                yield f"{cross.key}: unknown drug {name!r}"
    yield from _unknown(safety.gathering, vocabulary.drugs, "gathering")
    yield from _unknown(safety.words.analytes, vocabulary.analytes, "words.analytes")
    yield from _unknown(safety.words.groups, vocabulary.groups, "words.groups")
    yield from _unknown(safety.words.classes, vocabulary.drugs, "words.classes")


def _unknown(names: Iterable[str], known: set[str], where: str) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{where}: unknown {name!r}"


def _analytes(source: Source) -> Iterator[str]:
    for _, table in source.toml("biomarkers"):
        if isinstance(table.get("key"), str):
            yield table["key"]
        for row in table.get("analyte", ()):
            if isinstance(row, dict) and "key" in row:
                yield row["key"]

"""Checks of goals, gaps, screening and gene advice beyond what loading refuses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

from fhir_twin.model.guidelines import DueRule, Guidelines
from fhir_twin.model.plan import Kind
from fhir_twin.model.rules import Evidence
from fhir_twin.recommendation.load import load_guidelines
from fhir_twin.rules.check import RISKS, Vocabulary
from fhir_twin.rules.load_genes import load_genes
from mappings import Source


def check_guidelines(source: Source) -> list[str]:
    """All problems of mappings/guidelines, screening and pharmacogenomics as sentences; empty when none."""
    try:
        guidelines = load_guidelines(source)
        tables, advice = load_genes(source)
    except (ValueError, KeyError, TypeError) as error:
        return [f"guidelines: {error}"]
    vocabulary = Vocabulary(source)
    found = [
        *_goals(guidelines, vocabulary),
        *_due(guidelines, vocabulary),
        *_ranking(guidelines, vocabulary),
    ]
    for row in advice:
        found += _evidence(row.key, row.evidence)
        table = tables.get(row.gene)
        known = {*table.pairs.values(), *(name for _, name in table.bands)} if table else None
        for phenotype in row.phenotypes:
            if known is not None and phenotype not in known:
                found.append(f"{row.key}: {row.gene} has no phenotype {phenotype!r}")
    return sorted(set(found))


def _goals(guidelines: Guidelines, vocabulary: Vocabulary) -> Iterator[str]:
    for goal in guidelines.goals:
        yield from vocabulary.wrong(goal.when, goal.key)
        yield from _evidence(goal.key, goal.evidence)
        yield from _unknown(goal.key, goal.addresses, vocabulary.groups)
        for variant in goal.variants:
            if variant.when is not None:
                yield from vocabulary.wrong(variant.when, goal.key)
        if goal.variants[-1].when is not None:
            yield f"{goal.key}: the last variant must hold for everybody"


def _due(guidelines: Guidelines, vocabulary: Vocabulary) -> Iterator[str]:
    rules: tuple[DueRule, ...] = (*guidelines.gaps, *guidelines.screening)
    keys = [rule.key for rule in rules]
    yield from (f"{key}: key used twice" for key in {k for k in keys if keys.count(k) > 1})
    for rule in rules:
        yield from vocabulary.wrong(rule.when, rule.key)
        if rule.unless is not None:
            yield from vocabulary.wrong(rule.unless, rule.key)
        yield from _evidence(rule.key, rule.evidence)
        yield from _unknown(rule.key, rule.addresses, vocabulary.groups)
        yield from _unknown(rule.key, rule.confirms, {aim.key for aim in guidelines.aims})


def _ranking(guidelines: Guidelines, vocabulary: Vocabulary) -> Iterator[str]:
    yield from _unknown("ranking", guidelines.ranking.weights, set(RISKS))
    answers = guidelines.answers
    yield from _unknown("answers.moved", answers.moved, vocabulary.analytes)
    yield from _unknown("answers.days", answers.days, set(get_args(Kind)))
    yield from _unknown("answers.always", answers.always, set(get_args(Kind)))
    for conflict in guidelines.conflicts:
        yield from vocabulary.wrong(conflict.when, conflict.key)
        if conflict.unless is not None:
            yield from vocabulary.wrong(conflict.unless, conflict.key)
    for gate in guidelines.gates:
        yield from vocabulary.wrong(gate.when, "gate")
    for aim in guidelines.aims:
        yield from _unknown(f"aim {aim.key}", aim.classes, vocabulary.drugs)
        yield from _unknown(f"aim {aim.key}", aim.interventions, vocabulary.interventions)


def _evidence(key: str, evidence: tuple[Evidence, ...]) -> Iterator[str]:
    for item in evidence:
        if item.verified and not (item.doi or item.pmid or item.url):
            yield f"{key}: verified evidence without doi, pmid or url: {item.text}"


def _unknown(where: str, names: Iterable[str], known: set[str]) -> Iterator[str]:
    for name in sorted(names):
        if name not in known:
            yield f"{where}: unknown {name!r}"

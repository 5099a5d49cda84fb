"""load_order_rules: mappings/orders/*.toml -> OrderRules. The legend is mappings/orders/README.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fhir_twin.model.codes import CPT, LOINC, SNOMED
from fhir_twin.model.order_rules import OrderKind, OrderRule, OrderRules, RepeatRule
from fhir_twin.model.rules import Evidence
from fhir_twin.rules.check import Vocabulary
from fhir_twin.rules.load import load_safety
from fhir_twin.rules.order_kinds import words_of
from fhir_twin.rules.parse import parse
from fhir_twin.rules.tables import cited, only, read_evidence
from mappings import Source

FOLDER = "orders"
SYSTEMS = {"cpt": CPT, "snomed": SNOMED, "loinc": LOINC}
LABELS = frozenset({"contraindicated", "interaction", "allergy", "question"})
_KIND = {"key", "label", "words", "and", "not", "unless", "unsaid"} | {
    prefix + system for prefix in ("", "not_") for system in SYSTEMS
}
_RULE = {
    "key", "kinds", "severity", "label", "when", "allergy", "not_allergy", "problems", "needs", "reason", "action",
    "evidence",
}  # fmt: skip
_REPEAT = {"key", "title", "words", "loinc", "done", "days", "reason", "evidence"}


def load_order_rules(source: Source) -> OrderRules:
    """Read all files. Raises ValueError naming file and key."""
    kinds: dict[str, OrderKind] = {}
    rules: list[OrderRule] = []
    repeats: list[RepeatRule] = []
    for name, table in source.toml(FOLDER):
        only(table, {"kind", "rule", "repeat", "evidence"}, name)
        evidence = read_evidence(table, name)
        kinds.update({row["key"]: _kind(row, f"{name}: {row.get('key')}") for row in table.get("kind", ())})
        rules += [_rule(row, f"{name}: {row.get('key')}", evidence) for row in table.get("rule", ())]
        repeats += [_repeat(row, f"{name}: {row.get('key')}", evidence) for row in table.get("repeat", ())]
    for rule in rules:
        if unknown := [k for k in rule.kinds if k not in kinds]:
            raise ValueError(f"{FOLDER}: {rule.key}: unknown kinds {unknown}")
    rows: list[OrderRule | RepeatRule] = [*rules, *repeats]
    keys = [row.key for row in rows]
    if len(set(keys)) != len(keys):
        raise ValueError(f"{FOLDER}: a key is used twice")
    return OrderRules(
        kinds,
        tuple(r for r in rules if _read(r.evidence)),
        tuple(r for r in repeats if _read(r.evidence)),
        tuple(sorted(row.key for row in rows if not _read(row.evidence))),
    )


def check_order_rules(source: Source) -> list[str]:
    """All problems of mappings/orders as sentences; empty when there are none."""
    try:
        found = load_order_rules(source)
        facts = load_safety(source).facts
    except (ValueError, KeyError, TypeError) as error:
        return [f"{FOLDER}: {error}"]
    return list(_problems(found, frozenset(facts), Vocabulary(source)))


def _problems(found: OrderRules, facts: frozenset[str], vocabulary: Vocabulary) -> Iterator[str]:
    for rule in found.rules:
        if rule.when is not None:
            yield from vocabulary.wrong(rule.when, rule.key)
        yield from (f"{rule.key}: needs an unknown fact {n!r}" for n in rule.needs if n not in facts)
    used = {k for rule in found.rules for k in rule.kinds}
    yield from (f"orders: no rule is about the kind {key!r}" for key in found.kinds if key not in used)


def _read(evidence: Iterable[Evidence]) -> bool:
    return any(e.verified for e in evidence)


def _kind(row: Mapping[str, Any], where: str) -> OrderKind:
    only(row, _KIND, where)
    return OrderKind(
        key=row["key"],
        label=row["label"],
        words=_phrases(row.get("words", ()), where),
        also=_phrases(row.get("and", ()), where),
        excluded=_phrases(row.get("not", ()), where),
        unless=_phrases(row.get("unless", ()), where),
        unsaid=bool(row.get("unsaid", False)),
        codes=_codes(row, ""),
        not_codes=_codes(row, "not_"),
    )


def _codes(row: Mapping[str, Any], prefix: str) -> frozenset[tuple[str, str]]:
    return frozenset((uri, code) for name, uri in SYSTEMS.items() for code in row.get(prefix + name, ()))


def _phrases(texts: Iterable[str], where: str) -> tuple[tuple[str, ...], ...]:
    phrases = tuple(words_of(text) for text in texts)
    if not all(phrases):
        raise ValueError(f"{where}: an empty phrase")
    return phrases


def _rule(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> OrderRule:
    only(row, _RULE, where)
    label = row.get("label", "contraindicated")
    if label not in LABELS or row["severity"] not in ("high", "moderate", "low"):
        raise ValueError(f"{where}: label or severity")
    if "when" not in row and "allergy" not in row:
        raise ValueError(f"{where}: needs when or allergy")
    if not row["reason"].endswith("."):
        raise ValueError(f"{where}: reason is a sentence")
    return OrderRule(
        key=row["key"],
        kinds=tuple(row["kinds"]),
        severity=row["severity"],
        reason=row["reason"],
        action=row["action"],
        label=label,
        when=parse(row["when"], where) if "when" in row else None,
        allergy=_phrases(row.get("allergy", ()), where),
        not_allergy=_phrases(row.get("not_allergy", ()), where),
        problems=tuple(row.get("problems", ())),
        needs=tuple(row.get("needs", ())),
        evidence=cited(row, evidence, where),
    )


def _repeat(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> RepeatRule:
    only(row, _REPEAT, where)
    if not isinstance(row["days"], int) or row["days"] < 1:
        raise ValueError(f"{where}: days")
    kind = OrderKind(row["key"], row["title"], _phrases(row.get("words", ()), where), codes=_codes(row, ""))
    return RepeatRule(
        key=row["key"],
        title=row["title"],
        kind=kind,
        done=tuple(row["done"]),
        days=row["days"],
        reason=row["reason"],
        evidence=cited(row, evidence, where),
    )

"""load_safety: mappings/safety/*.toml -> SafetyRules. The legend is mappings/safety/README.md.

Everything is checked while it is read; what does not fit raises ValueError naming file and key, so that a
service with broken safety knowledge refuses to start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_twin.model.rules import CrossReaction, Evidence, Fact, Predicate, SafetyRule, SafetyRules, Words
from fhir_twin.rules.load_genes import load_genes
from fhir_twin.rules.parse import parse
from fhir_twin.rules.tables import cited, only, read_evidence
from mappings import Source

FOLDER = "safety"
TOP = {"rule", "interaction", "duplicate", "cross_reaction", "fact", "evidence", "words", "gathering"}
CODES = frozenset(
    {"COND", "LAB", "DRG", "ALGY", "INT", "PREG", "LACT", "AGE", "GEALRT", "GEN", "DUPTHPY", "DUPTHPCLS"}
    | {"DUPTHPGEN", "DOSEH", "DOSEL", "MDOSE", "VALIDAT", "FOOD", "DACT"}
)
KINDS = frozenset({"contraindicated", "interaction", "allergy", "duplicate"})
COMMON = {"key", "level", "severity", "reason", "action", "current", "current_reason", "evidence", "needs"}


def load_safety(source: Source) -> SafetyRules:
    """Read all safety files. Raises ValueError naming file and key."""
    rules: list[SafetyRule] = []
    facts: dict[str, Fact] = {}
    crosses: list[CrossReaction] = []
    gathering: set[str] = set()
    words: dict[str, dict[str, Any]] = {"analytes": {}, "groups": group_labels(source), "classes": {}}
    for name, table in source.toml(FOLDER):
        only(table, TOP, name)
        evidence = read_evidence(table, name)
        rules += [_rule(row, f"{name}: {row.get('key')}", evidence) for row in table.get("rule", ())]
        for row in table.get("interaction", ()):
            rules += _interaction(row, f"{name}: {row.get('key')}", evidence)
        rules += [_duplicate(row, name, evidence) for row in table.get("duplicate", ())]
        crosses += [
            _cross(row, f"{name}: {row.get('key')}", evidence) for row in table.get("cross_reaction", ())
        ]
        facts.update({row["key"]: _fact(row, name) for row in table.get("fact", ())})
        gathering.update(table.get("gathering", ()))
        for part, entries in table.get("words", {}).items():
            words[part].update(entries)
    _unique([r.key for r in rules] + [c.key for c in crosses])
    _needs(rules, facts)
    genes, advice = load_genes(source)
    read = tuple(rule for rule in rules if rule.verified)
    return SafetyRules(
        read,
        facts,
        tuple(cross for cross in crosses if cross.verified),
        drug_classes(source),
        frozenset(gathering),
        _words(words),
        _index(read),
        genes,
        tuple(row for row in advice if row.verified),
        left_out=tuple(
            sorted(
                [r.key for r in rules if not r.verified]
                + [c.key for c in crosses if not c.verified]
                + [f"gene-{a.key}" for a in advice if not a.verified]
            )
        ),
    )


def group_labels(source: Source) -> dict[str, str]:
    """condition group -> its words, from mappings/conditions (lower case unless an abbreviation begins it)."""
    labels = {}
    for _, table in source.toml("conditions"):
        for key, row in table.items():
            label = row.get("label", key)
            labels[key] = label if label[1:2].isupper() else label[:1].lower() + label[1:]
    return labels


def drug_classes(source: Source) -> dict[str, frozenset[str]]:
    """class -> all its member ingredients, from mappings/drug-classes (a class includes the members of others)."""
    own: dict[str, set[str]] = {}
    includes: dict[str, tuple[str, ...]] = {}
    for _, table in source.toml("drug-classes"):
        for row in table.get("ingredient", ()):
            for name in row["classes"]:
                own.setdefault(name, set()).add(row["name"])
        for name, row in table.get("class", {}).items():
            own.setdefault(name, set())
            includes[name] = tuple(row.get("includes", ()))
    return {name: frozenset(_members(name, own, includes, ())) for name in sorted(own)}


def drug_names(source: Source) -> set[str]:
    """Every class and every ingredient of mappings/drug-classes."""
    names = set(drug_classes(source))
    for _, table in source.toml("drug-classes"):
        names.update(row["name"] for row in table.get("ingredient", ()))
    return names


def _members(
    name: str, own: Mapping[str, set[str]], includes: Mapping[str, tuple[str, ...]], above: tuple[str, ...]
) -> set[str]:
    if name in above:
        raise ValueError(f"drug-classes: {name} includes itself")
    parts = (_members(part, own, includes, (*above, name)) for part in includes.get(name, ()))
    return own.get(name, set()).union(*parts)


def _rule(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> SafetyRule:
    only(row, COMMON | {"kind", "code", "applies_to", "when"}, where)
    return _checked(
        SafetyRule(
            key=row["key"],
            level=row["level"],
            kind=row.get("kind", "contraindicated"),
            code=row.get("code", "COND"),
            severity=row["severity"],
            applies_to=tuple(row["applies_to"]),
            when=parse(row["when"], where),
            reason=row["reason"],
            needs=tuple(row.get("needs", ())),
            action=row.get("action", ""),
            current=row.get("current", "review" if row["level"] == "stop" else "none"),
            current_reason=row.get("current_reason", ""),
            evidence=cited(row, evidence, where),
        ),
        where,
    )


def _interaction(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> list[SafetyRule]:
    """Two rules, one for each direction; they share the key's stem so that one finding is made of both."""
    only(row, COMMON | {"pair", "only_if", "stop", "lower"}, where)
    pair = row["pair"]
    if len(pair) != 2 or row.get("stop", pair[0]) not in pair or row.get("lower", pair[0]) not in pair:
        raise ValueError(f"{where}: a pair has two members, stop and lower name one of them")
    extra = (parse(row["only_if"], where),) if "only_if" in row else ()
    both = []
    for mine, other in dict.fromkeys((tuple(pair), tuple(reversed(pair)))):
        takes = Predicate("takes", other)
        rule = SafetyRule(
            key=f"{row['key']}:{mine}",
            level=row["level"],
            kind="interaction",
            code="DRG",
            severity=row["severity"],
            applies_to=(mine,),
            when=Predicate("all", parts=(takes, *extra)) if extra else takes,
            reason=row["reason"],
            action=row.get("action", ""),
            current=_said_of(mine, row),
            current_reason=row.get("current_reason", ""),
            partner=other,
            evidence=cited(row, evidence, where),
        )
        both.append(_checked(rule, where))
    return both


def _said_of(mine: str, row: Mapping[str, Any]) -> str:
    """What is said of this member when both are taken."""
    if row.get("stop") == mine:
        return "stop"
    return "lower" if row.get("lower") == mine else str(row.get("current", "review"))


def _duplicate(row: Mapping[str, Any], name: str, evidence: Mapping[str, Evidence]) -> SafetyRule:
    where = f"{name}: duplicate {row.get('class')}"
    only(row, {"class", "reason", "evidence"}, where)
    return SafetyRule(
        key=f"duplicate-{row['class']}",
        level="stop",
        kind="duplicate",
        code="DUPTHPCLS",
        severity="moderate",
        applies_to=(row["class"],),
        when=Predicate("takes", row["class"]),
        reason=row["reason"],
        current="review",
        partner=row["class"],
        evidence=cited(row, evidence, where),
    )


def _cross(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> CrossReaction:
    only(row, {"key", "allergen", "applies_to", "level", "reason", "evidence"}, where)
    if row["level"] not in ("stop", "caution"):
        raise ValueError(f"{where}: level")
    return CrossReaction(
        row["key"],
        row["allergen"],
        tuple(row["applies_to"]),
        row["level"],
        row["reason"],
        cited(row, evidence, where),
    )


def _fact(row: Mapping[str, Any], name: str) -> Fact:
    where = f"{name}: fact {row.get('key')}"
    only(row, {"key", "known", "applies", "question", "reason", "loinc"}, where)
    applies = parse(row["applies"], where) if "applies" in row else None
    return Fact(
        row["key"], parse(row["known"], where), applies, row["question"], row["reason"], row.get("loinc", "")
    )


def _checked(rule: SafetyRule, where: str) -> SafetyRule:
    wrong = [
        label
        for label, bad in (
            ("level", rule.level not in ("stop", "caution")),
            ("kind", rule.kind not in KINDS),
            ("code", rule.code not in CODES),
            ("severity", rule.severity not in ("high", "moderate", "low")),
            ("current", rule.current not in ("stop", "replace", "lower", "review", "none")),
            ("applies_to", not rule.applies_to),
            ("reason", not rule.reason.endswith(".")),
        )
        if bad
    ]
    if wrong:
        raise ValueError(f"{where}: {', '.join(wrong)}")
    return rule


def _needs(rules: list[SafetyRule], facts: Mapping[str, Fact]) -> None:
    for rule in rules:
        unknown = [need for need in rule.needs if need not in facts]
        if unknown:
            raise ValueError(f"{rule.key}: needs unknown facts {unknown}")


def _unique(keys: list[str]) -> None:
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"{FOLDER}: keys used twice: {', '.join(twice)}")


def _words(words: Mapping[str, Mapping[str, Any]]) -> Words:
    analytes = {key: (row[0], row[1], int(row[2])) for key, row in words["analytes"].items()}
    return Words(analytes, dict(words["groups"]), dict(words["classes"]))


def _index(rules: tuple[SafetyRule, ...]) -> dict[str, tuple[SafetyRule, ...]]:
    index: dict[str, list[SafetyRule]] = {}
    for rule in rules:
        for target in rule.applies_to:
            index.setdefault(target, []).append(rule)
    return {target: tuple(found) for target, found in index.items()}

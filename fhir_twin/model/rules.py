"""What a rule is made of: conditions as data, safety rules, and the verdict on one intervention.

The syntax of conditions (and the legend of every key) is in mappings/safety/README.md; fhir_twin.rules reads
and evaluates them. A condition is true, false, or cannot be told (None): an unknown fact is never a "no".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fhir_twin.model.memo import HIDDEN
from fhir_twin.model.plan import Citation, Reason
from fhir_twin.model.scenario import Question

Level = Literal["stop", "caution"]
Severity = Literal["high", "moderate", "low"]
MOST_KEPT = 4096  # drugs whose rules are remembered


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits on a number, in the canonical unit of the analyte. None = no such limit."""

    below: float | None = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None

    @property
    def empty(self) -> bool:
        return self == Bounds()


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition: a leaf (op + key + bounds) or a combination (op "all" | "any" | "not" + parts).

    values: for leaves that name several alternatives (phenotypes). within_days: only facts this recent count."""

    op: str
    key: str = ""
    bounds: Bounds = field(default_factory=Bounds)
    within_days: int | None = None
    parts: tuple[Predicate, ...] = ()
    values: tuple[str, ...] = ()

    def leaves(self) -> tuple[Predicate, ...]:
        """All leaves below (or this one)."""
        if self.op not in ("all", "any", "not"):
            return (self,)
        return tuple(leaf for part in self.parts for leaf in part.leaves())


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a rule's number stands. verified: somebody has read the source; a row without a verified source is not
    loaded into any plan."""

    text: str
    claim: str
    value: str = ""
    doi: str = ""
    pmid: str = ""
    url: str = ""
    verified: bool = False

    def citation(self, key: str) -> Citation:
        note = "" if self.verified else " (unverified source)"
        return Citation(key, self.text + note, self.doi, self.pmid, self.url, self.value)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a rule must know before it can be judged. known: true when the record answers it; applies: who
    has to be asked at all."""

    key: str
    known: Predicate
    applies: Predicate | None
    question: str
    reason: str
    loinc: str = ""


@dataclass(frozen=True, slots=True)
class SafetyRule:
    """When a drug must not (stop) or should only with care (caution) be given.

    applies_to: drug classes or ingredients ("*" = every drug). needs: keys of facts that must be known, else a
    question is asked and the option waits. current: what is said of a drug already taken: "stop" (propose to
    stop it), "replace" (propose another for it), "lower" (propose a lower dose), "review" (finding only) or "none";
    current_reason: the words then, if not `reason`. kind:
    Rejection.kind; code: v3-ActCode (DI-2). partner: for a pair (interaction, duplicate) the other class or
    ingredient."""

    key: str
    level: Level
    kind: str
    code: str
    severity: Severity
    applies_to: tuple[str, ...]
    when: Predicate
    reason: str
    needs: tuple[str, ...] = ()
    action: str = ""
    current: str = "review"
    current_reason: str = ""
    partner: str = ""
    evidence: tuple[Evidence, ...] = ()

    @property
    def verified(self) -> bool:
        return any(e.verified for e in self.evidence)

    @property
    def citation(self) -> str:
        """The source in words, marked when nobody has checked it."""
        text = "; ".join(e.text for e in self.evidence)
        return text if self.verified else f"{text} (unverified source)"


@dataclass(frozen=True, slots=True)
class CrossReaction:
    """An allergy to `allergen` (class or ingredient) bears on drugs of `applies_to`."""

    key: str
    allergen: str
    applies_to: tuple[str, ...]
    level: Level
    reason: str
    evidence: tuple[Evidence, ...] = ()

    @property
    def verified(self) -> bool:
        return any(e.verified for e in self.evidence)


@dataclass(frozen=True, slots=True)
class GeneTable:
    """alleles: allele -> function ("normal") or activity value ("0.5"); pairs: two functions, sorted -> phenotype;
    bands: (highest activity score, phenotype), ascending."""

    gene: str
    scale: Literal["function", "activity"]
    alleles: Mapping[str, str]
    pairs: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    bands: tuple[tuple[float, str], ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class GeneAdvice:
    """What a phenotype means for drugs (CPIC). level: stop | caution; do: what to do; strength: CPIC's own words;
    score: (low, high) of the activity score for which it holds, None = any."""

    key: str
    gene: str
    phenotypes: tuple[str, ...]
    drugs: tuple[str, ...]
    level: Level
    severity: Severity
    text: str
    do: str
    strength: str
    evidence: tuple[Evidence, ...] = ()
    score: tuple[float, float] | None = None

    @property
    def verified(self) -> bool:
        return any(e.verified for e in self.evidence)

    def fits(self, phenotype: str, score: float | None) -> bool:
        """A stated phenotype without a score counts as fitting: doubt is on the side of caution."""
        if phenotype not in self.phenotypes:
            return False
        return self.score is None or score is None or self.score[0] <= score <= self.score[1]


@dataclass(frozen=True, slots=True)
class Words:
    """Plain words for keys: analyte -> (name, unit), group -> name, class or ingredient -> name."""

    analytes: Mapping[str, tuple[str, str, int]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)

    def analyte(self, key: str) -> str:
        return self.analytes[key][0] if key in self.analytes else key.replace("-", " ")

    def amount(self, key: str, value: float) -> str:
        """The value with its unit, rounded as clinicians write it."""
        unit = self.analytes.get(key, ("", "", 1))[1]
        return f"{self.number(key, value)} {unit}".strip()

    def number(self, key: str, value: float) -> str:
        """The value alone, rounded as clinicians write it."""
        digits = self.analytes.get(key, ("", "", 1))[2]
        return f"{value:.{digits}f}"

    def group(self, key: str) -> str:
        return self.groups.get(key, key.replace("-", " "))

    def drug(self, key: str) -> str:
        return self.classes.get(key, key.replace("-", " "))


@dataclass(frozen=True, slots=True)
class SafetyRules:
    """All safety knowledge whose sources have been read; left_out: keys of rows that nobody has verified, which
    therefore take no part in any plan. members: drug class -> ingredient names (from mappings/drug-classes). gathering:
    classes that gather unrelated substances ("bp-lowering"): no allergy to one is an allergy to all."""

    rules: tuple[SafetyRule, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)
    cross_reactions: tuple[CrossReaction, ...] = ()
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    gathering: frozenset[str] = frozenset()
    words: Words = field(default_factory=Words)
    index: Mapping[str, tuple[SafetyRule, ...]] = field(default_factory=dict)
    genes: Mapping[str, GeneTable] = field(default_factory=dict)
    advice: tuple[GeneAdvice, ...] = ()
    left_out: tuple[str, ...] = ()
    _memo: dict[frozenset[str], tuple[SafetyRule, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False, metadata=HIDDEN
    )

    def rules_for(self, targets: frozenset[str]) -> tuple[SafetyRule, ...]:
        """Rules for a drug that is of, or is, one of `targets`; in the order of the files, each once."""
        known = self._memo.get(targets)
        if known is None:
            found = {r.key: r for target in sorted(targets | {"*"}) for r in self.index.get(target, ())}
            known = tuple(found[key] for key in sorted(found))
            if len(self._memo) < MOST_KEPT:
                self._memo[targets] = known
        return known


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """A rule that speaks against a drug for this patient: words with the patient's own facts, and their sources.
    hangs: in words, measured values so near a limit of the rule that another one may turn it around."""

    rule: str
    kind: str
    code: str
    severity: Severity
    reason: str
    facts: tuple[Reason, ...] = ()
    action: str = ""
    citation: str = ""
    evidence: tuple[Evidence, ...] = ()
    level: Level = "stop"
    current: str = "review"
    partner: str = ""
    hangs: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(s for fact in self.facts for s in fact.sources))


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """What safety says of one intervention. blocked: it must not be proposed. questions: it must wait for these
    answers. Neither: it may be simulated; `cautions` ride along."""

    blocked: tuple[Hit, ...] = ()
    cautions: tuple[Hit, ...] = ()
    questions: tuple[Question, ...] = ()

    @property
    def allowed(self) -> bool:
        return not self.blocked and not self.questions

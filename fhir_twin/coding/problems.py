"""Conditions -> CodedProblem: codes first, words only where there is no code, nothing lost (CD-1, CO-1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from fhir_twin.coding.findings import Desk
from fhir_twin.coding.icd import icd10_codes, icd10cm_codes, lasts, over
from fhir_twin.coding.released import person_of
from fhir_twin.coding.words import after_history, key, last_year_in, without_tag, without_year
from fhir_twin.model.chart import PatientRecord, Problem
from fhir_twin.model.coded import CodedProblem
from fhir_twin.model.codes import ICD9CM, ICD10CM, SNOMED, Concept
from terminology.decision import Assertion, CodingDecision
from terminology.mapping import Person

STARTER_MAP = "checked starter map (concept-maps/starter-problems.tsv)"  # its version is the knowledge's
EDITION = 0.9  # confidence in a group by a code of another ICD-10 edition
PREGNANCY_DAYS = 300  # 42 weeks and a few days: a pregnancy on a problem list that began before is over
PREGNANCY_MONTHS = 10  # the same for a year in the text ("gestational diabetes 2010")
EXACT_NAME = 0.95  # confidence in a text that is a name of the checked map and was coded as the map says
BY_WORDS = 0.9  # confidence in a group by its own words

NOT_CODED = "A problem that is only text could not be coded; rules do not see it"
UNSURE = "A problem that is only text was coded with low confidence; it counts as possible only"
NO_MAP = "A SNOMED CT code is not in the concept map; its display was read as text"
OTHER_ICD10 = (
    "A problem is coded in another edition of ICD-10; its group follows the characters all editions share"
)
ICD9 = "An ICD-9-CM code is not mapped; the words of the problem were read instead"
OLD_ICD = "An ICD-9-CM code was mapped by the imported General Equivalence Mappings"
FOLLOWED = "A SNOMED CT concept is inactive; its successor in the imported release was taken"
CHOICES = "A SNOMED CT concept is inactive and has several possible successors; a person has to choose"
CONDITION = (
    "The map of a SNOMED CT code depends on age, sex or another problem, which the record does not settle"
)
CONFLICT = "The words of a problem name another condition than its code; the code was taken"
DENIED = "The words of a problem deny it although it is coded; it was not taken as present"
EMPTY = "A problem has neither a known code nor words"
OLD_PREGNANCY = "A pregnancy on the problem list began more than 300 days ago; it was taken as over"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one concept says, whoever has it. One concept of text can name several problems."""

    icd10cm: tuple[str, ...]
    snomed: tuple[str, ...]
    groups: frozenset[str]
    assertion: Assertion
    confidence: float
    from_text: bool
    release: str = ""


class ProblemCoder:
    """Meanings of concepts, each worked out once per call."""

    def __init__(self, desk: Desk, patient: PatientRecord | None = None) -> None:
        self.desk, self.patient = desk, patient
        self._known: dict[tuple[Concept, Person | None], tuple[Meaning, ...]] = {}

    def code(self, problem: Problem, as_of: datetime) -> tuple[CodedProblem, ...]:
        """At least one CodedProblem, also for what could not be understood (with no group)."""
        return tuple(
            CodedProblem(
                problem, m.icd10cm, m.snomed, m.groups, m.assertion, m.confidence, m.from_text, m.release
            )
            for m in (
                self._pregnancy(m, problem, as_of)
                for m in self.meanings(problem.concept, problem.source, self._person(problem, as_of))
            )
        )

    def meanings(self, concept: Concept, source: str, person: Person | None = None) -> tuple[Meaning, ...]:
        if (concept, person) not in self._known:
            self._known[concept, person] = self._meanings(self.desk.meant(concept, source), source, person)
        return self._known[concept, person]

    def _person(self, problem: Problem, as_of: datetime) -> Person | None:
        """Only for the conditions of a release's map; without one, the same concept is worked out once."""
        if self.desk.maps.released is None or self.patient is None:
            return None
        return person_of(self.patient, problem, as_of)

    def _meanings(self, concept: Concept, source: str, person: Person | None) -> tuple[Meaning, ...]:
        desk, maps = self.desk, self.desk.maps
        snomed = tuple(dict.fromkeys(concept.codes(SNOMED)))
        mapped = tuple(code for s in snomed if (code := maps.problems.icd10cm(s)))
        release = STARTER_MAP
        if not mapped and not icd10cm_codes(concept) and maps.released is not None:
            found = maps.released.read(snomed, concept.codes(ICD9CM), person)
            snomed = tuple(dict.fromkeys((*snomed, *found.current)))
            mapped = tuple(code for s in snomed if (code := maps.problems.icd10cm(s)))
            if not mapped:
                mapped, release = found.icd10cm, "; ".join(found.releases)
            for said, words in (
                (bool(found.current), FOLLOWED), (found.choices, CHOICES), (found.undecided, CONDITION),
                (found.old, OLD_ICD),
            ):  # fmt: skip
                if said:
                    desk.note("information", "business-rule", words, source)
        own = icd10cm_codes(concept)
        icd = own or tuple(dict.fromkeys(mapped))
        known = any(s in maps.problems.by_snomed or maps.groups.knows_snomed(s) for s in snomed)
        if icd or known:
            return (self._from_codes(concept, icd, snomed, source, release if mapped and not own else ""),)
        shared = maps.groups.of(icd10_codes(concept), ())
        if shared:
            desk.note("information", "code-invalid", OTHER_ICD10, source)
            coded = Meaning((), snomed, shared, "present", EDITION, False)
            return (self._against_words(coded, concept, source),)
        if snomed:
            desk.note("information", "code-invalid", NO_MAP, source)
        if concept.codes(ICD9CM):
            desk.note("information", "code-invalid", ICD9, source)
        return self._from_text(concept, snomed, source)

    def _from_codes(
        self, concept: Concept, icd: tuple[str, ...], snomed: tuple[str, ...], source: str, release: str
    ) -> Meaning:
        groups = self.desk.maps.groups.of(icd, snomed, _all_words(concept))
        coded = Meaning(icd, snomed, groups, _in_time("present", icd), 1.0, False, release)
        return self._against_words(coded, concept, source)

    def _against_words(self, coded: Meaning, concept: Concept, source: str) -> Meaning:
        """The code counts; but words that deny the problem or name another one are not passed over."""
        if not concept.text or self._words_of_code(concept, coded.snomed):
            return coded
        decisions = [
            d for d in self.desk.mentions(concept.text, "problem", source, "code") if not d.abstained
        ]
        sure = [d for d in decisions if d.confidence >= self.desk.maps.accept_from]
        said = [self._decided(d) for d in sure]
        same = [m for m in said if m.groups & coded.groups or _same_category(m.icd10cm, coded.icd10cm)]
        if same and all(m.assertion == "absent" for m in same):
            self.desk.note("warning", "conflict", DENIED, source)
            return replace(coded, assertion="possible")
        if said and not same and any(m.groups for m in said) and coded.groups:
            self.desk.note("warning", "conflict", CONFLICT, source)
        return coded

    def _words_of_code(self, concept: Concept, snomed: tuple[str, ...]) -> bool:
        text = key(concept.text)
        displays = (key(without_tag(c.display)) for c in concept.codings)
        named = any(self.desk.maps.problems.same_words(s, concept.text) for s in snomed)
        return named or text in displays or key(without_tag(concept.text)) in displays

    def _from_text(self, concept: Concept, snomed: tuple[str, ...], source: str) -> tuple[Meaning, ...]:
        text = concept.text or next((without_tag(c.display) for c in concept.codings if c.display), "")
        if not text:
            self.desk.note("warning", "code-invalid", EMPTY, source)
            return (Meaning((), snomed, frozenset(), "present", 0.0, True),)
        found: list[Meaning] = []
        for decision in self.desk.mentions(text, "problem", source, "code"):
            if decision.abstained:
                self.desk.note("information", "not-found", NOT_CODED, source)
            meaning = self._decided(decision)
            if meaning.assertion == "possible" != decision.assertion:
                self.desk.note("information", "not-found", UNSURE, source)
            found.append(meaning)
        found += self._by_words(text, found)
        return tuple(dict.fromkeys(found)) or (Meaning((), snomed, frozenset(), "present", 0.0, True),)

    def _by_words(self, text: str, found: list[Meaning]) -> list[Meaning]:
        """The groups whose own words stand in the text but that no decision gave with confidence."""
        given = frozenset[str]().union(*(m.groups for m in found if m.assertion in ("present", "historical")))
        missing = self.desk.maps.groups.of((), (), text) - given
        past: Assertion = "historical" if after_history(text) else "present"
        return [Meaning((), (), missing, past, BY_WORDS, True)] if missing else []

    def _decided(self, decision: CodingDecision) -> Meaning:
        maps = self.desk.maps
        icd = tuple(dict.fromkeys(c.code for c in decision.chosen if c.system == ICD10CM))
        snomed = tuple(dict.fromkeys(c.code for c in decision.chosen if c.system == SNOMED))
        release = decision.release
        if not icd:
            icd = tuple(dict.fromkeys(m for s in snomed if (m := maps.problems.icd10cm(s))))
            release = f"{release}; {STARTER_MAP}"
        start, end = decision.span
        words, assertion, groups = decision.text[start:end], decision.assertion, maps.groups.of(icd, snomed)
        confidence = self._confidence(decision, words, icd)
        if assertion in ("present", "historical") and not decision.abstained:
            assertion = "possible" if confidence < maps.accept_from else _in_time(assertion, icd)
        if assertion in ("present", "historical") and not decision.abstained:
            groups |= maps.groups.of((), (), words) | self._groups_of_the_past(words)
        return Meaning(icd, snomed, groups, assertion, confidence, True, release if icd else "")

    def _confidence(self, decision: CodingDecision, words: str, icd: tuple[str, ...]) -> float:
        """The coder's; but words that are a name of the checked map, coded as the map does, are no guess."""
        row = self.desk.maps.problems.named(without_year(words))
        return max(decision.confidence, EXACT_NAME) if row and row.icd10cm in icd else decision.confidence

    def _groups_of_the_past(self, words: str) -> frozenset[str]:
        """ICD-10-CM has few codes for what is over (Z87.19 is any disease of the gut): "history of pancreatitis" gets
        the groups of pancreatitis, when that is a name of the map."""
        maps = self.desk.maps
        disease = maps.problems.named(after_history(words))
        return maps.groups.of((disease.icd10cm,), (disease.snomed,)) if disease else frozenset()

    def _pregnancy(self, meaning: Meaning, problem: Problem, as_of: datetime) -> Meaning:
        if "pregnancy" not in meaning.groups or not problem.active or meaning.assertion != "present":
            return meaning
        began, year = problem.onset or problem.recorded, last_year_in(problem.concept.text)
        over_by_date = began is not None and (as_of - began).days > PREGNANCY_DAYS
        over_by_year = year is not None and (as_of.year, as_of.month) > (year + 1, PREGNANCY_MONTHS)
        if not (over_by_date or over_by_year):
            return meaning
        self.desk.note("information", "business-rule", OLD_PREGNANCY, problem.source)
        return replace(meaning, assertion="historical")


def _all_words(concept: Concept) -> str:
    return "; ".join(w for w in (concept.text, *(c.display for c in concept.codings)) if w)


def _in_time(assertion: Assertion, icd: tuple[str, ...]) -> Assertion:
    """Some codes say themselves whether the thing is over ("personal history of") or lasts (transplant status)."""
    if icd and all(over(code) for code in icd):
        return "historical"
    return "present" if icd and all(lasts(code) for code in icd) else assertion


def _same_category(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    return bool({code[:3] for code in a} & {code[:3] for code in b})

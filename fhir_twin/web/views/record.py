"""What the record says, as far as decisions rest on it: medicines reviewed, genes, problems, allergies."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_twin.knowledge import Knowledge
from fhir_twin.model.chart import Medication
from fhir_twin.model.coded import CodedMedication
from fhir_twin.pipeline import Run
from fhir_twin.rules.genotype import statuses
from fhir_twin.web.views.words import day, first_upper, place


@dataclass(frozen=True, slots=True, repr=False)
class DrugRow:
    """One current drug. remarks: (severity, words) of findings and proposals that name it."""

    name: str
    dose: str
    since: str
    understood: str
    remarks: tuple[tuple[str, str], ...]
    source: str


@dataclass(frozen=True, slots=True, repr=False)
class GeneRow:
    """A gene and what its phenotype means. drugs: (drug, what to do, taken now, strength)."""

    gene: str
    result: str
    phenotype: str
    origin: str
    conflict: bool
    drugs: tuple[tuple[str, str, bool, str], ...]
    source: str


@dataclass(frozen=True, slots=True, repr=False)
class RecordView:
    """problems: (words, codes, since, state, source); allergies: (words, what it forbids, source)."""

    drugs: tuple[DrugRow, ...]
    stopped: int
    genes: tuple[GeneRow, ...]
    problems: tuple[tuple[str, str, str, str, str], ...]
    allergies: tuple[tuple[str, str, str], ...]
    no_known_allergies: bool


def record_view(run: Run, k: Knowledge) -> RecordView:
    coded = run.coded
    current = [m for m in coded.medications if m.medication.current]
    stated = [a for a in coded.allergies if a.allergy.active and not a.allergy.none_known]
    return RecordView(
        drugs=tuple(_drug(m, run, k) for m in current),
        stopped=len(coded.medications) - len(current),
        genes=tuple(_genes(run, k)),
        problems=tuple(
            (
                p.problem.concept.label,
                ", ".join((*p.icd10cm, *p.snomed)) or "not coded",
                day(p.problem.onset or p.problem.recorded),
                "now" if p.holds else "past" if p.ever else p.assertion,
                place(p.problem.source),
            )
            for p in coded.problems
        ),
        allergies=tuple(
            (
                a.allergy.concept.label,
                ", ".join([*map(k.safety.words.drug, sorted(a.classes)), *a.ingredients])
                if a.understood
                else "not matched to a drug: not checked automatically",
                place(a.allergy.source),
            )
            for a in stated
        ),
        no_known_allergies=any(a.allergy.none_known for a in coded.allergies),
    )


def _drug(entry: CodedMedication, run: Run, k: Knowledge) -> DrugRow:
    source = place(entry.medication.source)
    found = [(f.severity, f.text) for f in run.plan.findings if source in map(place, f.sources)]
    for rec in run.plan.recommendations:
        if rec.stop and source in map(place, rec.sources):
            found.append(("high", rec.title))
        elif rec.replaces and place(rec.replaces) == source:
            found.append(("low", f"Proposed in its place: {rec.title}"))
    classes = ", ".join(sorted(k.safety.words.drug(c) for c in entry.classes)[:3])
    understood = ", ".join(entry.ingredients)
    if not understood:
        found.append(("moderate", "Ingredient not known: interactions with it are not checked"))
    return DrugRow(
        name=entry.medication.concept.label,
        dose=_dose(entry.medication),
        since=day(entry.medication.start) if entry.medication.start else "",
        understood=f"{understood} ({classes})" if understood and classes else understood,
        remarks=tuple(dict.fromkeys(found)),
        source=source,
    )


def _dose(medication: Medication) -> str:
    return "; ".join(d.text or f"{d.amount or ''} {d.unit}".strip() for d in medication.dosages)


def _genes(run: Run, k: Knowledge) -> list[GeneRow]:
    taking = {i for m in run.coded.medications if m.medication.current for i in m.ingredients}
    rows = []
    for status in statuses(run.chart.genes, dict(k.safety.genes)):
        advice = [
            (drug, a.do or a.text, drug in taking, a.strength)
            for a in k.safety.advice
            if a.verified and a.gene.upper() == status.gene.upper() and status.phenotype in a.phenotypes
            for drug in a.drugs
        ]
        rows.append(
            GeneRow(
                gene=status.gene,
                result=status.diplotype,
                phenotype=first_upper(status.phenotype),
                origin="as the laboratory states" if status.stated else "derived from the diplotype (CPIC)",
                conflict=status.conflict,
                drugs=tuple(sorted(dict.fromkeys(advice), key=lambda row: (not row[2], row[0]))),
                source=place(status.source),
            )
        )
    return rows

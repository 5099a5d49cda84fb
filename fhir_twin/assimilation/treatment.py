"""Which drugs get a response of their own: those that started or stopped while the person was being measured.

A drug that was there before the first value and still is cannot be told from the personal level; it is part of it.
Effects of all starts and stops of one class are one term from the first start to the last end.
"""

from __future__ import annotations

from math import inf

import numpy as np

from fhir_twin.assimilation.clock import years
from fhir_twin.model.biomarker import BiomarkerSet, TreatmentEffect
from fhir_twin.model.coded import CodedChart, CodedMedication
from fhir_twin.model.twin import TreatmentTerm


def treatment_terms(coded: CodedChart, known: BiomarkerSet, reference: float) -> tuple[TreatmentTerm, ...]:
    """Terms in order of start; reference: years since 2000 of the first visit. mean and spread are the trial's at
    its own baseline; the filter adapts the mean to the person's level when the drug starts."""
    as_of = years(coded.chart.as_of)
    taken = {name for m in coded.medications for name in (*m.classes, *m.ingredients)}
    terms = []
    for model in known.models:
        for effect in model.treatments:
            if effect.drug_class not in taken:
                continue
            term = _term(coded, model.key, effect, reference, as_of)
            if term is not None:
                terms.append(term)
    return tuple(sorted(terms, key=lambda t: (t.start, t.biomarker, t.drug_class)))


def _term(
    coded: CodedChart, biomarker: str, effect: TreatmentEffect, reference: float, as_of: float
) -> TreatmentTerm | None:
    drugs = [
        m for m in coded.medications if effect.drug_class in m.classes or effect.drug_class in m.ingredients
    ]
    dated = [m for m in drugs if m.medication.start is not None and years(m.medication.start) <= as_of]
    if not dated or any(m.medication.start is None and m.medication.current for m in drugs):
        return None
    start = min(years(m.medication.start) for m in dated if m.medication.start is not None)
    end = _end(dated, as_of)
    if end <= start or end <= reference or (start <= reference and end == inf):
        return None
    trial = dose_mean(effect, max(dated, key=_started))
    return TreatmentTerm(
        biomarker=biomarker,
        drug_class=effect.drug_class,
        start=start if start > reference else -inf,
        end=end,
        onset=effect.onset,
        mean=trial,
        trial=trial,
        spread=effect.spread,
        sources=tuple(sorted({m.medication.source for m in dated})),
    )


def _started(drug: CodedMedication) -> tuple[float, str]:
    start = drug.medication.start
    return (years(start) if start is not None else -inf, drug.medication.source)


def dose_mean(effect: TreatmentEffect, drug: CodedMedication) -> float:
    """The trial's mean at this drug's daily dose, linear in ln(dose) between published doses and held beyond them; the
    class mean where the dose is not known or was not published."""
    known = sorted((mg, mean) for name, mg, mean in effect.doses if name in drug.ingredients)
    if not known or drug.daily_dose is None or drug.daily_dose <= 0:
        return effect.mean
    if len(known) == 1:
        return known[0][1] if drug.daily_dose == known[0][0] else effect.mean
    doses, means = zip(*known, strict=True)
    return float(np.interp(np.log(drug.daily_dose), np.log(doses), means))


def _end(drugs: list[CodedMedication], as_of: float) -> float:
    """inf while any of them is current; else the last known end; a stopped drug without an end date: its start
    (it then has no term, because nobody knows how long it was taken)."""
    if any(m.medication.current for m in drugs):
        return inf
    ends = [years(m.medication.end) for m in drugs if m.medication.end is not None]
    return min(max(ends), as_of) if ends else -inf

"""Proposals about drugs that are taken already: stop, replace by another, lower the dose."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_twin.model.coded import CodedMedication
from fhir_twin.model.codes import Concept
from fhir_twin.model.plan import Citation, Reason, Recommendation
from fhir_twin.model.rules import Hit

WAYS = ("stop", "replace", "lower")  # the gravest first: one proposal per drug
TITLE = {"stop": "Stop {}", "replace": "Replace {}", "lower": "Lower the dose of {}"}
STRENGTH = {"stop": "contraindication", "replace": "contraindication", "lower": "dose limit"}
MONITOR = {
    "stop": "Agree on a replacement before stopping if the drug treats a disease that still needs treatment.",
    "replace": "Start the replacement before or together with stopping, so that nothing is left untreated.",
    "lower": "Check after the change that the drug still does what it is taken for.",
}
PATIENT = {
    "stop": "Your record suggests that {} may not be safe for you now. Do not change it by yourself: "
    "ask your clinician soon.",
    "replace": "Your record suggests that another medicine may suit you better than {}. Do not change it by yourself: "
    "ask your clinician soon.",
    "lower": "Your record suggests that your dose of {} may be too high for you now. Do not change it by yourself: "
    "ask your clinician soon.",
}


@dataclass(frozen=True, slots=True, repr=False)
class Drug:
    """One drug now taken: all its entries in the record."""

    name: str
    entries: tuple[CodedMedication, ...]
    names: frozenset[str]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(sorted({m.medication.source for m in self.entries}))


def changes(hits: list[tuple[Drug, Hit]]) -> tuple[Recommendation, ...]:
    """One proposal per drug that a rule wants changed: stops first, then replacements, then doses. Of a pair that is
    the member its rule names; if it names none there is only the finding: which to keep is the clinician's choice."""
    drugs = {drug.name: drug for drug, _ in hits}
    found = []
    for way in WAYS:
        for name in sorted(drugs):
            own = tuple(hit for drug, hit in hits if drug.name == name)
            if any(hit.current in WAYS[: WAYS.index(way)] for hit in own):
                continue
            if way == "lower" and any(hit.kind == "allergy" for hit in own):  # first: is it tolerated at all?
                continue
            why = tuple(hit for hit in own if hit.current == way)
            if why:
                found.append(_change(way, drugs[name], why))
    return tuple(found)


def _change(way: str, drug: Drug, hits: tuple[Hit, ...]) -> Recommendation:
    """Stopping and replacing are orders not to give the drug; a lower dose is an order in place of the present one."""
    entry = drug.entries[0]
    concept = entry.medication.concept
    actions = tuple(dict.fromkeys(h.action for h in hits if h.action))
    lower = way == "lower"
    return Recommendation(
        key=f"{way}-{'-'.join(sorted(entry.ingredients))}",
        kind="medication" if lower else "stop",
        title=TITLE[way].format(drug.name),
        code=Concept(concept.codings, concept.text or drug.name),
        rank=1,
        why=tuple(Reason(h.reason, h.sources) for h in hits),
        cautions=() if lower else tuple(Reason(action) for action in actions),
        monitoring=(MONITOR[way],),
        strength=STRENGTH[way],
        certainty="high" if all(any(e.verified for e in h.evidence) for h in hits) else "",
        what_would_change=(
            "The record is wrong about the drug or about the reason above.",
            *dict.fromkeys(text for h in hits for text in h.hangs),
        ),
        citations=tuple(c for h in hits if (c := citation(h)) is not None),
        addresses=tuple(s for h in hits for s in h.sources if s.startswith("Condition/")),
        sources=tuple(dict.fromkeys((*drug.sources, *(s for h in hits for s in h.sources)))),
        dose_text=" ".join(actions) if lower else "",
        replaces=entry.medication.source if lower else "",
        patient_text=PATIENT[way].format(drug.name),
        stop=not lower,
    )


def citation(found: Hit) -> Citation | None:
    return found.evidence[0].citation(found.rule.split(":")[0]) if found.evidence else None

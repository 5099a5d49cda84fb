"""The leaves of conditions: one small function each, all PatientView -> Outcome."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from fhir_twin.model.plan import Reason
from fhir_twin.model.rules import Predicate, Words
from fhir_twin.rules.kleene import NO, Outcome, point_within, within
from fhir_twin.rules.view import PatientView


def _has(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    if p.key == "pregnancy":
        return _truth(patient.pregnant(), "pregnant", patient.sources("pregnancy", "now"), ("pregnant", ""))
    now = patient.sources(p.key, "now")
    if now:
        return Outcome(True, (Reason(words.group(p.key), now),))
    possible = patient.sources(p.key, "possible")
    return Outcome(None, (), (("has", p.key),)) if possible else Outcome(False)


def _ever(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    found = [*patient.problems.get((p.key, "now"), ()), *patient.problems.get((p.key, "past"), ())]
    if p.within_days is not None:
        since = patient.as_of - timedelta(days=p.within_days)
        dated = [(c, c.problem.onset or c.problem.recorded) for c in found]
        if any(when is None for _, when in dated) and not any(when and when >= since for _, when in dated):
            return Outcome(None, (), (("ever", p.key),))
        found = [c for c, when in dated if when is not None and when >= since]
    if found:
        past = not patient.sources(p.key, "now")
        text = f"history of {words.group(p.key)}" if past else words.group(p.key)
        return Outcome(True, (Reason(text, tuple(c.problem.source for c in found)),))
    possible = patient.sources(p.key, "possible")
    return Outcome(None, (), (("has", p.key),)) if possible else Outcome(False)


def _takes(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    sources = patient.drugs.get(p.key, ())
    if not sources:
        return Outcome(False)
    names = sorted({i for m in patient.coded.taking(p.key) for i in m.ingredients}) or [words.drug(p.key)]
    return Outcome(True, (Reason(f"takes {', '.join(names)}", sources),))


def _allergic(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    sources = patient.allergens.get(p.key, ())
    return Outcome(True, (Reason(f"allergy to {words.drug(p.key)}", sources),)) if sources else Outcome(False)


def _family(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    onset, degree = (float(v) if v else None for v in p.values)
    unknown = False
    for found in patient.coded.family:
        if p.key not in found.groups or (degree is not None and found.member.degree not in (0, degree)):
            continue
        if onset is not None and found.onset_age is None:
            unknown = True
        elif onset is None or (found.onset_age is not None and found.onset_age < onset):
            return Outcome(True, (Reason(f"family history of {words.group(p.key)}", (found.member.source,)),))
    return Outcome(None, (), (("family", p.key),)) if unknown else Outcome(False)


def _latest(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    point = patient.latest(p.key, p.within_days)
    if point is None:
        return (
            _estimated(p, patient, words)
            if p.within_days is None
            else Outcome(None, (), (("latest", p.key),))
        )
    value = point_within(p.bounds, point)
    if not value:
        return _untrue(value, ("latest", p.key))
    sign = f"{point.bound} " if point.bound else ""
    when = f" on {point.time.date().isoformat()}" if point.time else ""
    text = f"{words.analyte(p.key)} {sign}{words.amount(p.key, point.value)}{when}"
    return _truth(value, text, (point.source,), ("latest", p.key))


def _estimated(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    """The twin's estimate; only a personal one (something was measured) may decide a rule."""
    twin = patient.twin
    if p.key not in twin.biomarkers:
        return Outcome(None, (), (("latest", p.key),))
    now = twin.estimate(p.key)
    if now.basis != "personal":
        return Outcome(None, (), (("latest", p.key),))
    value = within(p.bounds, now.mean, now.mean)
    if not value:
        return _untrue(value, ("latest", p.key))
    ends = f"{words.number(p.key, now.low)} to {words.number(p.key, now.high)}"
    interval = f"{words.amount(p.key, now.mean)} (80 % interval {ends})"
    sources = tuple(point.source for point in twin.used(p.key)[-3:])
    return _truth(value, f"estimated {words.analyte(p.key)} {interval}", sources, ("latest", p.key))


def _known(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del words
    answers: dict[str, bool] = {
        "pregnancy": patient.pregnant() is not None,
        "smoking": patient.smoking() is not None,
        "age": patient.age is not None,
        "sex": patient.sex is not None,
        "allergies": bool(patient.coded.allergies),
    }
    if p.key in answers:
        return Outcome(answers[p.key])
    return Outcome(patient.latest(p.key, p.within_days) is not None)


def _dose(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    if p.key not in patient.drugs:
        return Outcome(False)
    dose = patient.daily_dose(p.key)
    if dose is None:
        return Outcome(None, (), (("dose", p.key),))
    text = f"{words.drug(p.key)} {dose:g} mg a day"
    return _truth(within(p.bounds, dose, dose), text, patient.drugs[p.key], ("dose", p.key))


def _age(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del words
    if patient.age is None:
        return Outcome(None, (), (("age", ""),))
    text = f"age {int(patient.age)}"
    return _truth(within(p.bounds, patient.age, patient.age), text, (), ("age", ""))


def _social(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del words
    value = getattr(patient.coded.social, p.key.replace("-", "_"))
    if value is None:
        return Outcome(None, (), (("social", p.key),))
    return _truth(
        within(p.bounds, value, value), f"{value:g} {p.key.replace('-', ' ')}", (), ("social", p.key)
    )


def _risk(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del words
    years = float(p.values[0])
    found = [r for r in patient.risks if r.outcome == p.key and r.horizon_years == years]
    if not found:
        return Outcome(None, (), (("risk", p.key),))
    risk = found[0]
    text = f"{years:.0f}-year risk of {p.key} {100 * risk.probability:.1f} % ({risk.equation})"
    return _truth(within(p.bounds, risk.probability, risk.probability), text, risk.basis, ("risk", p.key))


def _gene(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del words
    found = patient.genes.get(p.key.upper())
    if found is None:
        return Outcome(None, (), (("gene", p.key),))
    phenotype, source = found
    return _truth(
        phenotype in {v.lower() for v in p.values}, f"{p.key} {phenotype}", (source,), ("gene", p.key)
    )


def _sex(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del words
    if patient.sex is None:
        return Outcome(None, (), (("sex", ""),))
    return Outcome(patient.sex == p.key)


def _smoking(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del words
    wanted = p.key or "current"
    status = patient.smoking()
    source = patient.coded.social.smoking_source
    sources = (source,) if source else ()
    return _truth(None if status is None else status == wanted, f"{wanted} smoker", sources, ("smoking", ""))


def _truth(value: bool | None, text: str, sources: tuple[str, ...], leaf: tuple[str, str]) -> Outcome:
    return Outcome(True, (Reason(text, sources),)) if value else _untrue(value, leaf)


def _untrue(value: bool | None, leaf: tuple[str, str]) -> Outcome:
    """False, or None with what is missing."""
    return Outcome(None, (), (leaf,)) if value is None else NO


def _pregnant(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del p, words
    source = patient.coded.social.pregnant_source
    sources = (*patient.sources("pregnancy", "now"), *((source,) if source else ()))
    return _truth(patient.pregnant(), "pregnant", sources, ("pregnant", ""))


def _lactating(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del p, words
    return _truth(
        patient.lactating(), "breast-feeding", patient.sources("lactation", "now"), ("pregnant", "")
    )


def _childbearing(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del p, words
    age = f", age {int(patient.age)}" if patient.age is not None else ""
    return _truth(patient.childbearing(), f"woman who may become pregnant{age}", (), ("sex", ""))


def _always(p: Predicate, patient: PatientView, words: Words) -> Outcome:
    del p, patient, words
    return Outcome(True)


LEAVES: dict[str, Callable[[Predicate, PatientView, Words], Outcome]] = {
    "has": _has,
    "ever": _ever,
    "takes": _takes,
    "allergic": _allergic,
    "family": _family,
    "latest": _latest,
    "estimate": _estimated,
    "known": _known,
    "dose": _dose,
    "age": _age,
    "social": _social,
    "risk": _risk,
    "gene": _gene,
    "sex": _sex,
    "smoking": _smoking,
    "smoker": _smoking,
    "pregnant": _pregnant,
    "lactating": _lactating,
    "childbearing": _childbearing,
    "always": _always,
}

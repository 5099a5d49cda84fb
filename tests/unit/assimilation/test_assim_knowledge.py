"""The knowledge files of the twin: complete, cited, plausible; and what a wrong one says."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from assim_charts import at, chart, drug, measured

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.assimilation.treatment import dose_mean
from mappings import ROOT, Source

KNOWN = load_biomarkers(Source())
FILES = sorted((ROOT / "biomarkers").glob("*.toml"))
MARKS = {"V", "M", "D", "R", "E"}


def luhn(code: str) -> bool:
    """LOINC check digit (mod 10)."""
    body, _, check = code.partition("-")
    doubled = "".join(str(int(d) * 2) if i % 2 == 0 else d for i, d in enumerate(reversed(body)))
    return (10 - sum(int(d) for d in doubled) % 10) % 10 == int(check)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_number_is_cited_and_marked(path: Path) -> None:
    table = tomllib.loads(path.read_text("utf-8"))
    evidence = {e["id"]: e for e in table["evidence"]}
    for e in evidence.values():
        assert e["claim"] and e["source"] and e["value"] and e["mark"] in MARKS
        assert e["verified"] is (e["mark"] != "R")
    rows = [r for part in ("prior", "slope", "treatment", "table", "assay") for r in table.get(part, [])]
    rows += [
        table[part]
        for part in ("dynamics", "noise", "ageing", "own_spread", "out_of_office")
        if part in table
    ]
    rows += [r for part in ("levels", "fluctuations") for r in table.get(part, [])]
    cited = {i for row in rows for i in row["evidence"]}
    assert all(row["evidence"] for row in rows) and cited <= set(evidence)
    assert set(evidence) - cited <= {"window", "molar"}  # nothing is cited in vain


def test_loinc_codes_have_valid_check_digits() -> None:
    assert len(KNOWN.by_loinc) > 150
    assert [c for c in KNOWN.by_loinc if not luhn(c)] == []


@pytest.mark.parametrize("model", KNOWN.models, ids=lambda m: m.key)
def test_constants_are_of_a_sensible_size(model) -> None:
    low, high = KNOWN.analytes[model.key].plausible
    for prior in model.priors:
        assert low < math.exp(prior.mean) < high and 0.02 < prior.sd < 2
    assert 0.005 < model.noise.visit < 0.6 and 0 <= model.fluctuation_sd < 0.3 and 0 <= model.walk <= 0.2
    for regime in model.slopes:
        assert -0.2 < regime.mean < 0.05 and 0 < regime.sd < 0.05
    for effect in model.treatments:
        assert -1.0 < effect.mean < 0 and 0 < effect.spread < 0.25 and effect.verified
    sexes = {p.sex for p in model.priors if not p.group}
    for sex in ("female", "male"):  # every adult age has exactly one plain row
        rows = [p for p in model.priors if not p.group and p.sex in ("", sex)]
        assert all(
            sum(r.age_low <= a < r.age_high for r in rows) == 1 for a in (18, 39.9, 40, 59, 60, 75, 119)
        ), sexes


def test_a_wrong_file_is_named_with_its_key(tmp_path: Path) -> None:
    folder = tmp_path / "biomarkers"
    folder.mkdir()
    good = (ROOT / "biomarkers" / "sbp.toml").read_text("utf-8")

    def refuse(text: str, words: str) -> None:
        (folder / "sbp.toml").write_text(text, "utf-8")
        with pytest.raises(ValueError, match=words) as caught:
            load_biomarkers(Source(overlay=tmp_path))
        assert "sbp.toml" in str(caught.value) or "8462-4" in str(caught.value)

    refuse(good.replace('unit = "mm[Hg]"', 'unit = "mmHgs"'), "UCUM")
    refuse(good.replace('evidence = ["keenan"]', "evidence = []"), "without evidence")
    refuse(good.replace("visit = ", "vizit = "), "visit")
    refuse(good.replace('loinc = "8480-6"', 'loinc = "8462-4"'), "stands for")
    refuse(good.replace("plausible = [50, 300]", "plausible = [300, 50]"), "plausible")
    refuse("= broken", "sbp.toml")


def test_a_site_overlay_wins(tmp_path: Path) -> None:
    folder = tmp_path / "biomarkers"
    folder.mkdir()
    text = (ROOT / "biomarkers" / "sbp.toml").read_text("utf-8").replace("visit = 0.0632", "visit = 0.2")
    (folder / "sbp.toml").write_text(text, "utf-8")
    site = load_biomarkers(Source(overlay=tmp_path))
    assert site.model("sbp").noise.visit == 0.2 and site.version != KNOWN.version


def test_statin_effect_follows_the_dose() -> None:
    effect = next(t for t in KNOWN.model("ldl").treatments if t.drug_class == "statin")

    def at_dose(name: str, mg: float | None) -> float:
        from dataclasses import replace

        return math.expm1(
            dose_mean(effect, replace(drug("s", at(2022), "statin"), ingredients=(name,), daily_dose=mg))
        )

    assert at_dose("atorvastatin", 10) == pytest.approx(-0.40)
    assert at_dose("atorvastatin", 80) == pytest.approx(-0.55)
    assert -0.55 < at_dose("atorvastatin", 40) < -0.45
    assert at_dose("atorvastatin", 500) == pytest.approx(-0.55)
    assert at_dose("rosuvastatin", None) == at_dose("fluvastatin", 40) == pytest.approx(-0.40)


def test_a_drug_from_before_the_first_value_is_part_of_the_level() -> None:
    values = [measured(f"s{y}", "8480-6", 130, "mm[Hg]", at(y)) for y in range(2020, 2025)]
    old = build_twin(chart(*values, drugs=(drug("a", at(2015), "ace-inhibitor"),)), KNOWN)
    new = build_twin(chart(*values, drugs=(drug("a", at(2022), "ace-inhibitor"),)), KNOWN)
    stopped = build_twin(chart(*values, drugs=(drug("a", at(2015), "ace-inhibitor", end=at(2022)),)), KNOWN)
    undated = build_twin(chart(*values, drugs=(drug("a", None, "ace-inhibitor"),)), KNOWN)
    assert not old.responses and not undated.responses
    assert [r[:2] for r in new.responses] == [("sbp", "ace-inhibitor")] or len(new.responses) == 2
    assert stopped.terms and stopped.terms[0].start == -math.inf


def test_responses_of_one_family_go_together() -> None:
    """A poor answer to an ACE inhibitor lowers what is expected of an ARB, not of a calcium blocker."""
    before = [measured(f"b{m}", "8480-6", 160, "mm[Hg]", at(2020, m)) for m in (1, 3, 5, 7, 9, 11)]
    after = [measured(f"a{m}", "8480-6", 163, "mm[Hg]", at(2021, m)) for m in range(2, 12)]
    ace = drug("ace", at(2020, 12), "ace-inhibitor", end=at(2021, 12))

    def prior_of(second: str) -> float:
        drugs = (ace, drug("second", at(2022), second))
        twin = build_twin(chart(*before, *after, drugs=drugs, now=at(2022, 1, 2)), KNOWN)
        trial = next(t.mean for t in twin.terms if t.biomarker == "sbp" and t.drug_class == second)
        found = next(mean for key, name, mean, _ in twin.responses if (key, name) == ("sbp", second))
        return found - trial

    assert prior_of("arb") > 0.005
    assert prior_of("ccb-dhp") == pytest.approx(0.0, abs=1e-9)


def test_half_a_dose_of_a_pressure_drug_is_four_fifths_of_the_effect() -> None:
    """Law 2003: 7.1/4.4 against 9.1/5.5 mmHg; an ingredient without published doses keeps the class mean."""
    for key, share in (("sbp", 0.78), ("dbp", 0.80)):
        effect = next(t for t in KNOWN.model(key).treatments if t.drug_class == "ace-inhibitor")
        plain = drug("1", at(2024), "ace-inhibitor")
        lisinopril = replace(plain, ingredients=("lisinopril",))
        half, full = (dose_mean(effect, replace(lisinopril, daily_dose=mg)) for mg in (5.0, 10.0))
        assert math.expm1(half) / math.expm1(full) == pytest.approx(share, abs=0.005)
        assert full == pytest.approx(effect.mean, abs=1e-3)
        assert dose_mean(effect, replace(lisinopril, daily_dose=40.0)) == full  # not published: held
        assert dose_mean(effect, replace(plain, ingredients=("ramipril",), daily_dose=5.0)) == effect.mean

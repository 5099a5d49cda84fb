"""Draw docs/figures/twin-*.svg from the reference patients: `python docs/make_twin_figures.py`. No plotting library."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "science")]

from test_science_reference import read_patient  # noqa: E402

from fhir_twin.assimilation import build_twin, load_biomarkers  # noqa: E402
from fhir_twin.assimilation.history import history  # noqa: E402
from mappings import Source  # noqa: E402

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 300, 52, 34, 30
FIGURES = (
    ("anna-new-hypertension", "sbp", "Systolic pressure, mmHg: the usual value (line, 80 % band) and the readings"),
    ("bernd-kidney-decline", "egfr", "eGFR from creatinine, mL/min/1.73 m2: two slope regimes, mixed"),
    ("georg-fallen-kidney", "egfr", "eGFR: the first low value is doubted, the second confirms the change"),
)  # fmt: skip


def draw(name: str, biomarker: str, title: str) -> str:
    case = json.loads((ROOT / "tests/science/reference" / f"{name}.json").read_text("utf-8"))
    known = load_biomarkers(Source())
    twin = build_twin(read_patient(case), known)
    points = twin.used(biomarker)
    start, stop = min(p.time for p in points if p.time), twin.as_of
    days = [start + timedelta(days=d) for d in range(0, (stop - start).days + 1, 14)]
    past = history(twin, known, days)
    i = twin.index(biomarker)
    top = 1.05 * max(max(past.high[:, i]), *(p.value for p in points))
    low = 0.9 * min(min(past.low[:, i]), *(p.value for p in points))

    def x(when: datetime) -> float:
        return LEFT + (WIDTH - LEFT - 12) * ((when - start) / (stop - start))

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - low) / (top - low)

    def path(values: list[float], when: list[datetime]) -> str:
        return " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in zip(when, values, strict=True))

    band = path(list(past.high[:, i]), days) + " " + path(list(past.low[:, i])[::-1], days[::-1])
    marks = "".join(
        f'<circle cx="{x(p.time):.1f}" cy="{y(p.value):.1f}" r="4" fill="{"#b33" if p.weight < 1 else "#123"}"/>'
        for p in points
        if p.time
    )
    step = max(5, round((top - low) / 50) * 10)
    lines = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v}</text>'
        for v in range(int(low // step + 1) * step, int(top) + 1, step)
    )
    years = "".join(
        f'<text x="{x(t):.1f}" y="{HEIGHT - 12}" text-anchor="middle">{t.year}</text>'
        for t in (datetime(v, 1, 1, tzinfo=UTC) for v in range(start.year + 1, stop.year + 1))
    )
    starts = "".join(
        f'<line x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#292" stroke-dasharray="4"/>'
        f'<text x="{x(t) + 4:.1f}" y="{TOP + 12}" fill="#292">{row[0]}</text>'
        for row in case.get("drugs", [])
        for t in (datetime.fromisoformat(row[1]).replace(tzinfo=UTC),)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="{title}"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{LEFT}" y="18" font-size="13">{title}</text>{lines}{years}{starts}'
        f'<polygon points="{band}" fill="#8ac" opacity=".45"/>'
        f'<polyline points="{path(list(past.median[:, i]), days)}" fill="none" stroke="#125" stroke-width="2"/>'
        f"{marks}</svg>\n"
    )


if __name__ == "__main__":
    for patient, key, words in FIGURES:
        (ROOT / "docs" / "figures" / f"twin-{patient}.svg").write_text(draw(patient, key, words), "utf-8")

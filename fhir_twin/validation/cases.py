"""Printed cases: our equations against answers that others printed."""

from __future__ import annotations

from fhir_twin.dynamics.equations.registry import calculate
from fhir_twin.validation.checks import Check, Figure, Series
from mappings import Source


def check_cases(source: Source) -> Check:
    """Every case of mappings/worked-cases. Raises ValueError for a case of an unknown equation."""
    rows: list[tuple[str, ...]] = [("equation", "printed", "ours", "difference", "source")]
    printed, ours, good = [], [], True
    for _, table in source.toml("worked-cases"):
        for case in table.get("case", []):
            answer = float(calculate(case["equation"], **case["inputs"]))
            good &= abs(answer - case["printed"]) <= case["tolerance"]
            if case["printed"] <= 1.0:  # a risk; an eGFR would push the others into a corner of the figure
                printed.append(100 * case["printed"])
                ours.append(100 * answer)
            rows.append(
                (
                    case["equation"],
                    f"{case['printed']:g}",
                    f"{answer:.5f}",
                    f"{answer - case['printed']:+.5f}",
                    case["source"],
                )
            )
    cases = Series("printed cases", tuple(printed), tuple(ours))
    figure = Figure("Risk equations", "printed risk (%)", "our answer (%)", (cases,), diagonal=True)
    text = (
        "Each row is a person whose risk somebody else printed. A handful of cases proves that the equation is the "
        "published one, not that it fits your patients: for that, recalibrate on your own data."
    )
    return Check("cases", "Risk equations give the printed answers", text, "within the printed digits", good,
                 tuple(rows), (figure,))  # fmt: skip

"""Write docs/equation-inputs.md: every equation with its inputs, units, ranges and answer. Run after changing one."""

from __future__ import annotations

from pathlib import Path

from fhir_twin.dynamics.equations.equation import Equation, Input
from fhir_twin.dynamics.equations.registry import EQUATIONS

HEAD = """# Inputs of every equation

Made by docs/make_equations.py. Names are those of `fhir_twin.science.calculate(name, **inputs)`. Ends of a range belong
to it unless "above" or "below" is said; flags are true/false (or 1/0); "optional" inputs may be None. Outside its range
or without an input an equation refuses and names it.
"""


def page() -> str:
    """Equations with the same inputs and source share a section."""
    groups: dict[tuple[tuple[Input, ...], str], list[Equation]] = {}
    for equation in EQUATIONS.values():
        groups.setdefault((equation.inputs, equation.citation), []).append(equation)
    parts = [HEAD]
    for (inputs, citation), equations in groups.items():
        rows = "\n".join(f"| `{i.name}` | {_kind(i)} | {_range(i)} | {_notes(i)} |" for i in inputs)
        names = "\n".join(f"- `{e.name}`: {e.title}. Answer: {_answer(e)}" for e in equations)
        parts.append(
            f"\n## {equations[0].title}{' and others' if len(equations) > 1 else ''}\n\n{names}\n\n{citation}\n\n"
            f"| input | unit | valid | notes |\n| --- | --- | --- | --- |\n{rows}\n"
        )
    return "".join(parts)


def _answer(equation: Equation) -> str:
    if not equation.labels:
        return equation.unit
    return equation.unit + " " + ", ".join(f"{i} = {word}" for i, word in enumerate(equation.labels))


def _kind(item: Input) -> str:
    return {"flag": "flag", "sex": "female, male", "choice": ", ".join(item.choices)}.get(
        item.kind, item.unit
    )


def _range(item: Input) -> str:
    ends = []
    if item.low > float("-inf"):
        ends.append(f"{'above ' if item.open_low else 'from '}{item.low:g}")
    if item.high < float("inf"):
        ends.append(f"{'below ' if item.open_high else 'to '}{item.high:g}")
    return " ".join(ends)


def _notes(item: Input) -> str:
    return "; ".join(part for part in (item.words, "optional" if item.optional else "") if part)


if __name__ == "__main__":
    Path(__file__).with_name("equation-inputs.md").write_text(page(), "utf-8")

"""The other kinds of text: assertions, laboratory names, drug lines, social findings, lists of problems."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
from asking import marked_sentences

from mappings import Source
from terminology.text.coder import TextCoder
from terminology.text.drugs import ingredients

HERE = Path(__file__).parent
SENTENCES = ("assertions", "assertions-second", "assertions-third")
LABELS = ("absent", "possible", "historical", "hypothetical", "family", "present")


def rows(name: str) -> list[dict[str, str]]:
    with (HERE / f"{name}.tsv").open(encoding="utf-8") as stream:
        return list(csv.DictReader((line for line in stream if not line.startswith("#")), delimiter="\t"))


def assertions(coder: TextCoder) -> tuple[list[str], dict[str, float]]:
    """A table of F1 per label and set; all sets together as measures, with the rate of sentences."""
    lines = [f"| sentences | n | {' | '.join(LABELS)} | all right |", f"|---|---|{'---|' * len(LABELS)}---|"]
    everything: list[tuple[str, str]] = []
    for name in SENTENCES:
        marked = marked_sentences(name)
        pairs = [(coder.assertion(text, span), label) for text, span, label in marked]
        everything += pairs
        lines.append(_line(name, pairs))
    lines.append(_line("all", everything))
    marked = [m for name in SENTENCES for m in marked_sentences(name)]
    begun, rounds = time.thread_time(), 20
    for _ in range(rounds):
        for text, span, _ in marked:
            coder.assertion(text, span)
    rate = rounds * len(marked) / (time.thread_time() - begun)
    lines += [
        "",
        f"Assertion: {rate:,.0f} sentences/s per core (published: 400 to 1,900 for medspaCy, negspacy).",
    ]
    measures = {
        "negated F1": _f1(everything, "absent"),
        "historical F1": _f1(everything, "historical"),
        "all assertions right": float(np.mean([a == b for a, b in everything])),
        "sentences/s": rate,
    }
    return lines, measures


def _f1(pairs: list[tuple[str, str]], label: str) -> float:
    true = sum(said == label == gold for said, gold in pairs)
    wrong = sum((said == label) != (gold == label) for said, gold in pairs)
    return 2 * true / max(1, 2 * true + wrong)


def _line(name: str, pairs: list[tuple[str, str]]) -> str:
    cells = " | ".join(f"{_f1(pairs, label):.3f}" for label in LABELS)
    return f"| {name} | {len(pairs)} | {cells} | {np.mean([a == b for a, b in pairs]):.3f} |"


def others(coder: TextCoder) -> tuple[list[str], list[str]]:
    """A table of the share right, and what failed."""
    failed: list[str] = []
    lines = ["| kind | n | right |", "|---|---|---|"]
    for name, check in (("labs", _lab), ("drugs", _drug), ("social", _social), ("problem-lists", _list)):
        results = [(row, check(coder, row)) for row in rows(name)]
        lines.append(f"| {name} | {len(results)} | {np.mean([not wrong for _, wrong in results]):.3f} |")
        failed += [f"| {name} | {row['text']} | {wrong} |" for row, wrong in results if wrong]
    return lines, failed


def other_names(coder: TextCoder, source: Source) -> list[str]:
    """Names of laboratory tests and of drugs, asked as problems: hardly any should be coded."""
    labs = [
        row["name"] for name, found in source.tsv("concept-maps") if name == "lab-names.tsv" for row in found
    ]
    drugs = [item.name for item in ingredients(source.toml("drug-classes"))]
    lines = []
    for name, texts in (("names of laboratory tests", labs), ("names of drugs", drugs)):
        coded = [d for t in texts if (d := coder.code(t)).chosen]
        sure = sum(d.confidence >= 0.9 for d in coded)
        lines.append(f"{name} as problems: {len(coded)} of {len(texts)} coded, {sure} with confidence >= .9.")
    return lines


def _lab(coder: TextCoder, row: dict[str, str]) -> str:
    found = coder.code(row["text"], "lab").chosen
    code = found[0].code if found else "-"
    return "" if code == row["code"] else f"{code} for {row['code']}"


def _drug(coder: TextCoder, row: dict[str, str]) -> str:
    """Ingredients (by name), and strength and form where the row tells them."""
    details = coder.code(row["text"], "drug").details
    names = "+".join(sorted(v for k, v in details if k == "ingredient"))
    said = dict(details)
    wrong = [] if names == row["ingredients"] else [f"{names or '-'} for {row['ingredients']}"]
    if row["strength"] and said.get("strength") != row["strength"]:
        wrong.append(f"strength {said.get('strength', '-')} for {row['strength']}")
    if row["form"] and row["form"] not in (said.get("form"), said.get("route")):
        wrong.append(f"form {said.get('form', '-')} for {row['form']}")
    return "; ".join(wrong)


def _social(coder: TextCoder, row: dict[str, str]) -> str:
    found = coder.code(row["text"], "social").chosen
    code = found[0].code if found else ""
    right = code.startswith(row["code"]) if row["code"] else not code[:1].isalpha()
    return "" if right else f"{code or '-'} for {row['code'] or 'none'}"


def _list(coder: TextCoder, row: dict[str, str]) -> str:
    found = {(d.chosen[0].code if d.chosen else "-", d.assertion) for d in coder.code_all(row["text"])}
    missing = []
    for wanted in row["problems"].split(";"):
        code, assertion = wanted.split()
        if not any(a == assertion and c.startswith(code.strip("*")) for c, a in found):
            missing.append(wanted)
    return f"missing {', '.join(missing)}" if missing else ""

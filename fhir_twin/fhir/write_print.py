"""Print forms of a plan: the clinician's (the narrative on pages) and the patient's sheet in plain language.

Each is one self-contained HTML file without script, made for paper: any browser prints it or saves it as PDF.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_twin.fhir.narrative import bullets, heading, paragraph, strong, text
from fhir_twin.fhir.write_narrative import DRAFT, write_narrative
from fhir_twin.fhir.write_words import sentence
from fhir_twin.model.plan import Plan, Recommendation

STYLE = """
@page { margin: 18mm 16mm 20mm; @bottom-right { content: counter(page) " / " counter(pages); font-size: 9pt; } }
body { font: 10.5pt/1.4 "Helvetica Neue", Arial, sans-serif; color: #111; max-width: 46em; margin: 1em auto;
padding: 0 1em; } h1, h2, h3, h4 { line-height: 1.2; margin: 1.1em 0 .3em; break-after: avoid; }
h1, h3 { font-size: 15pt; } h2, h4 { font-size: 12pt; border-bottom: .5pt solid #888; }
p, ul, ol { margin: .3em 0; } li { break-inside: avoid-page; margin: .15em 0; }
table { border-collapse: collapse; width: 100%; font-size: 9.5pt; } td, th { border: .5pt solid #999; padding:
.15em .4em; text-align: left; } tr { break-inside: avoid; }
.sheet { font-size: 13pt; line-height: 1.5; } .sheet li { margin: .4em 0; }
.box { border: 1.5pt solid #111; padding: .4em .8em; margin: .6em 0; }
.sign { margin-top: 2.5em; } .sign span { display: inline-block; width: 45%; border-top: .5pt solid #111;
margin-right: 4%; }
"""
NOT_ALONE = (
    "This is a draft for the talk with your clinician. Do not start, stop or change any medicine because of this "
    "sheet. If you feel very ill, call your emergency number now."
)


def print_plan(plan: Plan) -> str:
    """The whole plan for the clinician, with room for the signature that makes it more than a draft."""
    body = write_narrative(plan)["div"]
    sign = '<p class="sign"><span>Clinician, date</span><span>Accepted, changed, rejected</span></p>'
    return _page("Care plan proposal", plan, body + sign)


def print_sheet(plan: Plan) -> str:
    """The plan in plain language for the patient; "" when no plan was made: there is nothing to talk about then."""
    if plan.refused:
        return ""
    recs = plan.recommendations
    stops = [r for r in recs if r.stop or r.key.startswith("lower-")]
    rest = [r for r in recs if r not in stops]
    blocks = (
        heading("What we could do for your health", 1),
        paragraph(strong(plan.patient_label), text(f" – {plan.as_of.date().isoformat()}")),
        f'<div class="box">{paragraph(text(NOT_ALONE))}</div>',
        _part("What you told us", [text(f"{p.text[:1].upper()}{p.text[1:]}") for p in plan.preferences]),
        _part("Medicines to talk about soon", map(_said, stops)),
        _part("What could help you", map(_said, _of(rest, "medication", "lifestyle"))),
        _part("Tests", map(_said, _of(rest, "test"))),
        _part("Check-ups and prevention", map(_said, _of(rest, "screening", "referral", "education"))),
        _part("What we aim for", [text(sentence([g.description])) for g in plan.goals]),
        _part("We need to know", [text(sentence([q.text])) for q in plan.questions]),
        _part("Your own questions", ["&#160;"] * 3),
    )
    return _page("For you", plan, f'<div class="sheet">{"".join(blocks)}</div>')


def _of(recs: Sequence[Recommendation], *kinds: str) -> list[Recommendation]:
    return [r for r in recs if r.kind in kinds and r.patient_text]


def _said(rec: Recommendation) -> str:
    title = rec.title.removeprefix("Start ").removeprefix("Add ")
    return strong(f"{title[:1].upper()}{title[1:]}") + text(f". {rec.patient_text}")


def _part(title: str, items: Iterable[str]) -> str:
    found = bullets(items)
    return heading(title, 2) + found if found else ""


def _page(title: str, plan: Plan, body: str) -> str:
    versions = f"{DRAFT}. Knowledge {plan.knowledge_version}, model {plan.model_version}."
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{text(f'{title}: {plan.patient_label}')}</title><style>{STYLE}</style></head>"
        f"<body>{body}<hr>{paragraph(text(versions))}</body></html>\n"
    )

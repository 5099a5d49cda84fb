"""code_chart: the whole stage in its order."""

from __future__ import annotations

from fhir_twin.coding.allergies import code_allergy
from fhir_twin.coding.coder import Coder
from fhir_twin.coding.family import code_family
from fhir_twin.coding.findings import Desk
from fhir_twin.coding.maps import ConceptMaps
from fhir_twin.coding.measurements import LabCoder
from fhir_twin.coding.medications import DrugCoder, once
from fhir_twin.coding.problems import ProblemCoder
from fhir_twin.coding.social import social_facts
from fhir_twin.coding.taken import ended_by_statements
from fhir_twin.model.chart import Chart
from fhir_twin.model.coded import CodedChart


def code_chart(chart: Chart, coder: Coder, concept_maps: ConceptMaps) -> CodedChart:
    """Code what is text, sort problems into groups and drugs into classes, gather the social facts.

    Pure: the same chart, coder and maps give the same CodedChart. The chart is not changed; every entry of it has
    its coded counterpart in the same order (a text with several problems has several), except drugs told twice,
    which count once. What could not be understood is in `issues`, never dropped without a word."""
    desk = Desk(coder, concept_maps)
    problem_coder, drug_coder, lab_coder = ProblemCoder(desk, chart.patient), DrugCoder(desk), LabCoder(desk)
    problems = tuple(c for p in chart.problems for c in problem_coder.code(p, chart.as_of))
    told = ended_by_statements(tuple(drug_coder.code(m) for m in chart.medications), desk)
    medications = once(told, drug_coder, desk)
    allergies = tuple(code_allergy(a, desk) for a in chart.allergies)
    measurements = tuple(lab_coder.code(m) for m in chart.measurements)
    family = tuple(c for m in chart.family for c in code_family(m, problem_coder))
    social = social_facts(chart, problems, measurements, desk)
    return CodedChart(
        chart, problems, medications, allergies, measurements, family, social,
        tuple(desk.decisions), tuple(desk.issues),
    )  # fmt: skip

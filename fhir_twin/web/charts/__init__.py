"""Charts as SVG, made on the server: no script is needed, and colour is never the only sign.

Each takes plain numbers and gives one `<svg>` with a title and a description; the page puts a table of the same numbers
beside it. Numbers are rounded for drawing only.
"""

from fhir_twin.web.charts.course import SMALL, Course, Line, Mark, Shape, Target, course_chart
from fhir_twin.web.charts.risk import RiskBar, risk_chart
from fhir_twin.web.charts.scale import Plane, ticks
from fhir_twin.web.charts.waterfall import Step, waterfall_chart

__all__ = [
    "SMALL",
    "Course",
    "Line",
    "Mark",
    "Plane",
    "RiskBar",
    "Shape",
    "Step",
    "Target",
    "course_chart",
    "risk_chart",
    "ticks",
    "waterfall_chart",
]

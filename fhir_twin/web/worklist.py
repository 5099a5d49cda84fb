"""The worklist of a population run as a page: filters, paging, search, and from each row to the patient's own page.

Shown where the setting `population` names the folder of a finished run. It lists many patients, so it is
guarded like the
list of patients: loopback, or the API key. A patient's id is searched for by POST, so that none stands in an
address."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, request

from fhir_twin.errors import InvalidInput, NotFound, NotSupported
from fhir_twin.settings import Settings
from fhir_twin.web.pages import page

if TYPE_CHECKING:
    from fhir_twin.population.results import Results
    from fhir_twin.population.worklist import Filter

blueprint = Blueprint("worklist", __name__)
SHOWN = 25
_NUMBERS = ("age_from", "age_to", "least_worth")
_WORDS = ("order", "action", "condition", "due", "outcome", "sex")


@blueprint.route("/worklist", methods=["GET", "POST"])
def worklist_page() -> Response:
    """One page of the list. Filters and the offset are in the address, a patient's id never is."""
    folder = _folder()
    if folder is None:
        return page("worklist_none.html")
    from fhir_twin.population.worklist import ORDERS, worklist

    results = _results(str(folder), _stamp(folder))
    words = request.form.get("q", "").strip() if request.method == "POST" else ""
    chosen = _filter(words)
    offset = _offset()
    found = worklist(results, chosen, offset=offset, limit=SHOWN)
    kept = {name: request.args[name] for name in (*_WORDS, *_NUMBERS, "danger") if request.args.get(name)}
    return page(
        "worklist.html", found=found, chosen=kept, words=words, orders=tuple(ORDERS), offset=offset, shown=SHOWN,
        summary=results.summary, as_of=results.manifest["task"]["as_of"],
    )  # fmt: skip


@blueprint.get("/worklist.csv")
def worklist_csv() -> Response:
    """The filtered list as a file for a spreadsheet, at most 10,000 rows."""
    folder = _folder()
    if folder is None:
        raise NotFound("no population run is configured")
    from fhir_twin.population.worklist import worklist
    from fhir_twin.population.worklist_out import to_csv

    found = worklist(_results(str(folder), _stamp(folder)), _filter(""), limit=10_000)
    answer = Response(to_csv(found.entries), mimetype="text/csv")
    day = datetime.now(UTC).date().isoformat()
    answer.headers["Content-Disposition"] = f'attachment; filename="worklist-{day}.csv"'
    return answer


def _folder() -> Path | None:
    settings: Settings = current_app.extensions["fhir-twin"]["settings"]
    return settings.path("population")


def _stamp(folder: Path) -> float:
    """Changes when the run does, so that a new run is seen without a restart."""
    summary = folder / "summary.json"
    return summary.stat().st_mtime if summary.exists() else 0.0


@lru_cache(maxsize=2)
def _results(folder: str, stamp: float) -> Results:
    """The opened results; `stamp` is only there to open a newer run anew."""
    del stamp
    try:
        from fhir_twin.population.results import Results
    except ImportError:
        raise NotSupported("the worklist needs more packages: pip install 'fhir-twin[population]'") from None
    return Results(Path(folder))


def _filter(search: str) -> Filter:
    from fhir_twin.population.worklist import Filter

    given: dict[str, Any] = {name: request.args.get(name, "").strip()[:80] for name in _WORDS}
    given["order"] = given["order"] or "benefit"
    for name in _NUMBERS:
        text = request.args.get(name, "").strip()
        try:
            given[name] = float(text) if text else None
        except ValueError:
            raise InvalidInput(f"{name} must be a number") from None
    return Filter(**given, danger=request.args.get("danger") == "1", search=search[:64])


def _offset() -> int:
    text = request.args.get("offset", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInput("offset must be a number")
    return int(text)

"""The handler of "plan" in the outbox: bring the server's copy of a plan to the stored bundle.

At least once out, one effect: the sink reads what is there by our identifiers before it sends anything, and again after
a lost answer. Consent is asked for again here (CN-4): time has passed since the plan was made.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from fhir_twin import log
from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.parse import parse_json
from fhir_twin.model.audit import AuditNote, wrote
from fhir_twin.model.plain import to_plain
from fhir_twin.service import Sink
from fhir_twin.storage.work import Work
from fhir_twin.worker.loop import Finish

KIND = "plan"


class WriteBack:
    """consented: asks the server why the plan of this patient must not be written now, "" when nothing forbids it."""

    def __init__(
        self, sink: Sink, consented: Callable[[str], str], audit: Callable[[AuditNote], None] = lambda _: None
    ) -> None:
        self._sink = sink
        self._consented = consented
        self._audit = audit

    def __call__(self, work: Work) -> Finish:
        """Raises what the server refuses with."""
        type_, _, patient = work.lane.partition("/")
        if type_ != "Patient" or not patient:
            raise InvalidInput("a plan without its patient cannot be written")
        refusal = self._consented(patient)
        if refusal:
            log.event("plan.withheld", patient=log.opaque(patient))
            self._audit(AuditNote("consent", patient, "4", detail="withheld"))
            return Finish(reply=orjson.dumps({"state": "withheld", "why": refusal}))
        written = self._sink.write(patient, parse_json(work.body, what="plan"))
        if written.changed:
            self._audit(wrote(patient, written))
        log.event("plan.written", patient=log.opaque(patient), mode=written.mode, items=len(written.items))
        return Finish(reply=orjson.dumps(to_plain(written)))

"""What clinicians did with our cards: accepted, overridden, with the reason. Stored once however often it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import BigInteger, Column, Engine, Index, LargeBinary, String, Table, select

from fhir_twin.storage.group_commit import GroupCommit
from fhir_twin.storage.sealing import Sealer
from fhir_twin.storage.web_state import METADATA, create_tables, telling

FEEDBACK = Table(
    "cds_feedback",
    METADATA,
    Column("card", String(64), primary_key=True),
    Column("outcome", String(16), primary_key=True),
    Column("stamped", String(40), primary_key=True),
    Column("received", BigInteger, nullable=False),
    Column("client", String(255), nullable=False),
    Column("service", String(64), nullable=False),
    Column("subject", String(64), nullable=False),  # keyed hash of server and patient, "" for an unknown card
    Column("topic", String(200), nullable=False),
    Column("reason", String(100), nullable=False),
    Column("detail", LargeBinary, nullable=False),  # sealed: comment, accepted suggestions
    Index("cds_feedback_subject", "subject", "received"),
)


@dataclass(frozen=True, slots=True, repr=False)
class Feedback:
    """One outcome of one card. topics: what it was about; the first is the card's own. detail may hold PHI."""

    card: str
    outcome: str
    stamped: str
    client: str
    service: str
    subject: str
    topics: tuple[str, ...]
    reason: str = ""
    detail: dict[str, Any] | None = None


class FeedbackStore:
    """subject: the patient's keyed name, made by `subject_of`. Thread-safe."""

    def __init__(self, engine: Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer
        self._writer = GroupCommit(engine)
        create_tables(engine)

    def subject_of(self, base: str, patient: str) -> str:
        return self._sealer.name(f"patient {base} {patient}")

    def add(self, given: Feedback, *, now: float) -> bool:
        """False when this outcome of this card at this time is there already (D10: idempotent)."""
        sealed = self._sealer.seal(orjson.dumps(given.detail or {}))
        row = {
            "card": given.card,
            "outcome": given.outcome,
            "stamped": given.stamped,
            "received": int(now),
            "client": given.client[:255],
            "service": given.service,
            "subject": given.subject,
            "topic": " ".join(given.topics)[:200],
            "reason": given.reason[:100],
            "detail": sealed,
        }
        return self._writer.insert(FEEDBACK, (row,))

    def answered(self, bases: tuple[str, ...], patient: str, *, since: float) -> dict[str, float]:
        """Topic -> when (Unix seconds) a clinician last accepted or overrode it for this patient."""
        names = [n for base in bases for n in self._sealer.names(f"patient {base} {patient}")]
        query = select(FEEDBACK.c.topic, FEEDBACK.c.received).where(
            FEEDBACK.c.subject.in_(names), FEEDBACK.c.received > int(since)
        )
        found: dict[str, float] = {}
        with telling(self._engine.connect()) as connection:
            for topic, received in connection.execute(query):
                for word in topic.split():
                    found[word] = max(found.get(word, 0.0), float(received))
        return found

    def all(self) -> list[dict[str, Any]]:
        """Every row with its detail opened; for audit."""
        with telling(self._engine.connect()) as connection:
            rows = connection.execute(select(FEEDBACK).order_by(FEEDBACK.c.received)).mappings().all()
        return [{**row, "detail": orjson.loads(self._sealer.open(row["detail"]))} for row in rows]

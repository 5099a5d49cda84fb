"""The tables, as SQLAlchemy Core metadata. How a database comes to have them is in `migrations`.

A test holds the two against each other. Each row belongs to a tenant (one FHIR server); nothing reads across tenants.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData()
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Rows that hold their place in the order of their lane. A dead letter does so when its kind `blocks`.
ACTIVE = "(state = 'queued' OR state = 'running' OR (state = 'dead' AND blocks))"
READY = "(head AND state = 'queued')"
RUNNING = "(state = 'running')"
UNDONE = "(state = 'queued' OR state = 'running')"


def _work_table(name: str) -> sa.Table:
    """A queue: one row per piece of work. state: queued | running | done | dead | skipped.

    lane: what keeps its order (a patient), "" = no order. head: first of its lane, so that a claim need not look.
    key: what the same work is known by when it comes twice. fence: grows with each claim; only who holds the newest
    may finish. beat: grows while the holder lives. due, pause: not before this time, set that many seconds earlier."""
    return sa.Table(
        name,
        METADATA,
        sa.Column("id", BIG, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("lane", sa.String(255), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("meta", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("head", sa.Boolean, nullable=False),
        sa.Column("blocks", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("waited", sa.Float, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("beat", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("pause", sa.Float, nullable=False),
        sa.Column("accepted", sa.Float, nullable=False),
        sa.Column("finished", sa.Float, nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("reply", sa.LargeBinary, nullable=False),
        sa.Column("signed", sa.String(128), nullable=False),
        sa.Column("parent", BIG, nullable=True),
        sa.UniqueConstraint("tenant", "kind", "key", name=f"uq_{name}_key"),
        sa.Index(f"ix_{name}_ready", "tenant", "id", **_where(READY)),
        sa.Index(f"ix_{name}_running", "tenant", "id", **_where(RUNNING)),
        sa.Index(f"ix_{name}_undone", "tenant", "id", **_where(UNDONE)),
        sa.Index(f"ix_{name}_active", "tenant", "lane", "id", **_where(ACTIVE)),
        sa.Index(f"ix_{name}_state", "tenant", "state", "id"),
        sa.Index(f"uq_{name}_head", "tenant", "lane", unique=True, **_where("(head AND lane <> '')")),
        sqlite_autoincrement=True,
    )


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


JOB = _work_table("job")
OUTBOX = _work_table("outbox")

# One twin per patient: its bytes, what else of the record a new result is read with (gzip JSON), when it was planned.
TWIN = sa.Table(
    "twin",
    METADATA,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("patient", sa.String(64), primary_key=True),
    sa.Column("twin", sa.LargeBinary, nullable=False),
    sa.Column("context", sa.LargeBinary, nullable=False),
    sa.Column("as_of", sa.Float, nullable=False),
    sa.Column("planned", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
)
# Which version of each Observation a twin has taken in: the same one again is nothing new.
SEEN = sa.Table(
    "seen",
    METADATA,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("patient", sa.String(64), primary_key=True),
    sa.Column("reference", sa.String(160), primary_key=True),
    sa.Column("version", sa.String(64), nullable=False),
)
# Where something was read up to: a poll's server time, a bulk export's transactionTime.
CURSOR = sa.Table(
    "cursor",
    METADATA,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(160), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
)
# A subscription of ours on the server. id: our own, part of the endpoint. secret: SHA-256 of the header's secret.
# event: up to here every event was received; above: JSON of the numbers beyond it that were, and of how many there are.
SUBSCRIPTION = sa.Table(
    "subscription",
    METADATA,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("server_id", sa.String(64), nullable=False),
    sa.Column("form", sa.String(16), nullable=False),
    sa.Column("criteria", sa.Text, nullable=False),
    sa.Column("secret", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("ends", sa.Float, nullable=False),
    sa.Column("heartbeat", sa.Float, nullable=False),
    sa.Column("heard", sa.Float, nullable=False),
    sa.Column("event", BIG, nullable=False),
    sa.Column("above", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)
# Who looked at or changed what (BALP AuditEvents). Only ever added to; each row's hash covers the row before it.
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", BIG, primary_key=True, autoincrement=True),
    sa.Column("tenant", sa.String(64), nullable=False),
    sa.Column("recorded", sa.Float, nullable=False),
    sa.Column("patient", sa.String(64), nullable=False),
    sa.Column("what", sa.String(64), nullable=False),
    sa.Column("outcome", sa.String(2), nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("chain", sa.String(64), nullable=False),
    sa.Index("ix_audit_patient", "tenant", "patient", "id"),
    sqlite_autoincrement=True,
)
# Who an identifier means. key: SHA-256 of "system|value". person: id of the Patient on the shelf.
PERSON_KEY = sa.Table(
    "person_key",
    METADATA,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(64), nullable=False),
    sa.Index("ix_person_key_person", "tenant", "person"),
)
# The newest word on one thing. moment: of the message (Unix time), so that a late one does not overwrite a newer one.
RECORD = sa.Table(
    "record",
    METADATA,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(64), primary_key=True),
    sa.Column("type", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("moment", sa.Float, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
# What was made for a patient, as the FHIR face shows it. digest: of the content without times. made: of the plan it
# belongs to; updated: of the last change of content (Unix times).
MADE = sa.Table(
    "made",
    METADATA,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("type", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("patient", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("made", sa.Float, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
    sa.Index("ix_made_patient", "tenant", "patient"),
)
# Answers of the FHIR face that are waited for (Prefer: respond-async).
ANSWER = sa.Table(
    "answer",
    METADATA,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
)

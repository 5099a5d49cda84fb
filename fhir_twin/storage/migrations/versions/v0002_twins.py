"""0002: stored twins, cursors, subscriptions, and the append-only audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_APPEND_ONLY = "the audit is only ever added to"
_TRIGGERS = {
    "sqlite": [
        f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
        f"BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE FUNCTION audit_append_only() RETURNS trigger AS $$ "
        f"BEGIN RAISE EXCEPTION '{_APPEND_ONLY}'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
    ],
}


def upgrade() -> None:
    """Five tables."""
    op.create_table(
        "twin",
        *_key("tenant", "patient"),
        *(sa.Column(n, sa.LargeBinary, nullable=False) for n in ("twin", "context")),
        *_floats("as_of", "planned", "updated"),
    )
    op.create_table("seen", *_key("tenant", "patient", reference=160), _word("version"))
    op.create_table(
        "cursor", *_key("tenant", name=160), sa.Column("value", sa.Text, nullable=False), *_floats("updated")
    )
    op.create_table(
        "subscription",
        *_key("tenant", "id"),
        *(_word("server_id"), _word("form", 16), sa.Column("criteria", sa.Text, nullable=False)),
        *(_word("secret"), _word("state", 16), sa.Column("note", sa.Text, nullable=False)),
        *_floats("ends", "heartbeat", "heard"),
        *(sa.Column("event", _BIG, nullable=False), sa.Column("above", sa.Text, nullable=False)),
        *_floats("created"),
    )
    op.create_table(
        "audit",
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        _word("tenant"),
        *_floats("recorded"),
        *(_word("patient"), _word("what"), _word("outcome", 2)),
        *(_word("who", 128), sa.Column("body", sa.Text, nullable=False), _word("chain")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_patient", "audit", ["tenant", "patient", "id"])
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def _word(name: str, size: int = 64) -> sa.Column[str]:
    return sa.Column(name, sa.String(size), nullable=False)


def _floats(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Float, nullable=False) for name in names]


def _key(*names: str, **sized: int) -> list[sa.Column[str]]:
    sizes = dict.fromkeys(names, 64) | sized
    return [sa.Column(name, sa.String(size), primary_key=True) for name, size in sizes.items()]

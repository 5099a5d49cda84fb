"""0001: the two queues, `job` (accepted work) and `outbox` (what is to be sent)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ACTIVE = "(state = 'queued' OR state = 'running' OR (state = 'dead' AND blocks))"
_INDEXES = {
    "ready": (("tenant", "id"), "(head AND state = 'queued')", False),
    "running": (("tenant", "id"), "(state = 'running')", False),
    "undone": (("tenant", "id"), "(state = 'queued' OR state = 'running')", False),
    "active": (("tenant", "lane", "id"), _ACTIVE, False),
    "state": (("tenant", "state", "id"), "", False),
    "head": (("tenant", "lane"), "(head AND lane <> '')", True),
}


def upgrade() -> None:
    """Both queues with their indexes."""
    for name in ("job", "outbox"):
        op.create_table(name, *_columns(), sa.UniqueConstraint("tenant", "kind", "key", name=f"uq_{name}_key"),
                        sqlite_autoincrement=True)  # fmt: skip
        for index, (columns, where, unique) in _INDEXES.items():
            condition: dict[str, Any] = {
                f"{d}_where": sa.text(where) for d in ("sqlite", "postgresql") if where
            }
            prefix = "uq" if unique else "ix"
            op.create_index(f"{prefix}_{name}_{index}", name, list(columns), unique=unique, **condition)


def _columns() -> list[sa.Column[object]]:
    words = {
        "tenant": 64,
        "kind": 64,
        "lane": 255,
        "key": 255,
        "digest": 64,
        "state": 16,
        "owner": 64,
        "signed": 128,
    }
    kinds: dict[str, object] = {
        **{name: sa.String(size) for name, size in words.items()},
        **dict.fromkeys(("body", "request", "reply"), sa.LargeBinary()),
        **dict.fromkeys(("meta", "reason"), sa.Text()),
        **dict.fromkeys(("head", "blocks"), sa.Boolean()),
        **dict.fromkeys(("attempts", "crashes", "fence", "beat"), sa.Integer()),
        **dict.fromkeys(("waited", "due", "pause", "accepted", "finished"), sa.Float()),
    }
    order = [
        "tenant",
        "kind",
        "lane",
        "key",
        "digest",
        "body",
        "meta",
        "state",
        "head",
        "blocks",
        "attempts",
        "crashes",
        "waited",
        "fence",
        "beat",
        "owner",
        "due",
        "pause",
        "accepted",
        "finished",
        "reason",
        "request",
        "reply",
        "signed",
    ]
    return [
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        *(sa.Column(name, kinds[name], nullable=name == "finished") for name in order),  # type: ignore[arg-type]
        sa.Column("parent", _BIG, nullable=True),
    ]

"""0003: records from feeds: who is who, and what is known of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two tables."""
    op.create_table("person_key", *_keys("tenant", "key"), sa.Column("person", sa.String(64), nullable=False))
    op.create_index("ix_person_key_person", "person_key", ["tenant", "person"])
    op.create_table(
        "record",
        *_keys("tenant", "person", "type", "id"),
        sa.Column("moment", sa.Float, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(64), primary_key=True) for name in names]

"""Bring a database's tables up to date with alembic, once, however many processes start together.

A version only ever adds (tables, columns with a default, indexes), so that the version before it can go on working on
the same database while an upgrade rolls out.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from fhir_twin.errors import StoreError

NEWEST = "0004"
_LOCK = 0x66_68_69_72_74_77_69_6E  # "fhirtwin": PostgreSQL's advisory lock while tables change


def upgrade(engine: Engine) -> None:
    """Nothing when the tables are up to date. Raises StoreError when they are of a later version than this program
    knows how to read."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        held = version_of(connection)
        if held == NEWEST:
            return
        if held is not None and held > NEWEST:
            return  # a later version only added to what we use: see the rule above
        _migrate(connection)
        if version_of(connection) != NEWEST:
            raise StoreError("the store could not be brought up to date")


def version_of(connection: Connection) -> str | None:
    """The version of the tables there, None when there are none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _migrate(connection: Connection) -> None:
    """alembic is loaded only when there is something to do."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

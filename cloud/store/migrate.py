"""Brings a database's schema up to this build, forward only, in one transaction (Alembic).

Each version is a file under `migrations/versions`; expand first, contract a version later, so that the build
before can still open the file. A test holds that all versions together make exactly `schema.metadata`.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from common.errors import Code, LocalFault

SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Run the versions that are missing. Raises LocalFault when the database is newer than this build."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    at = MigrationContext.configure(connection).get_current_revision()
    if at is not None:
        scripts = ScriptDirectory.from_config(config)
        if at == scripts.get_current_head():
            return
        if at not in {script.revision for script in scripts.walk_revisions()}:
            raise LocalFault(
                Code.FOLDER_UNUSABLE,
                f"its database is of version {at}, which this build does not know",
                hint="Start the newer build again; an older one must not write into its database.",
            )
    command.upgrade(config, "head")

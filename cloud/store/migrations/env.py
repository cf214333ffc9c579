"""Alembic's entry: runs the versions on the connection that `cloud.store.migrate` hands over."""

from alembic import context

from cloud.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
context.run_migrations()

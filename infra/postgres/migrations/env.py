"""What Alembic runs for each command; infra.postgres.migrate hands it an open connection."""

from alembic import context

from infra.postgres import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables.TaskRow.metadata)
with context.begin_transaction():
    context.run_migrations()

"""What alembic runs around the steps: on the caller's connection, in the caller's transaction."""

from alembic import context

from offpeak.ledger.schema import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()

"""Room: a shard can wait for room in its account's quota, and an account's shards are found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("offpeak_shards", sa.Column("ahead", sa.Integer(), nullable=True))
    op.create_index("ix_offpeak_shards_account_state", "offpeak_shards", ["account", "state"])

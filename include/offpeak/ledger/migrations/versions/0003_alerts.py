"""Alerts and their deliveries; and a shard says on which route its requests are asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.String(20)


def upgrade() -> None:
    # every shard written before this step went as a batch
    op.add_column("offpeak_shards", sa.Column("route", WORD, nullable=False, server_default="batch"))
    _alerts()
    _deliveries()


def _alerts() -> None:
    op.create_table(
        "offpeak_alerts",
        sa.Column("sequence", SEQUENCE, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("open_key", sa.Text()),
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("cause", WORD, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("essence", sa.Text(), nullable=False),
        sa.Column("grade", sa.Integer(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("resolved_at", MOMENT),
        sa.PrimaryKeyConstraint("sequence", name="pk_offpeak_alerts"),
        sa.UniqueConstraint("open_key", name="uq_offpeak_alerts_open_key"),
    )
    op.create_index("ix_offpeak_alerts_subject", "offpeak_alerts", ["subject"])
    op.create_index("ix_offpeak_alerts_workload_updated_at", "offpeak_alerts", ["workload", "updated_at"])


def _deliveries() -> None:
    op.create_table(
        "offpeak_deliveries",
        sa.Column("alert", SEQUENCE, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("told_version", sa.Integer(), nullable=False),
        sa.Column("told_at", MOMENT),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", MOMENT),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alert", "channel", name="pk_offpeak_deliveries"),
        sa.ForeignKeyConstraint(["alert"], ["offpeak_alerts.sequence"], name="fk_offpeak_deliveries_alert"),
    )

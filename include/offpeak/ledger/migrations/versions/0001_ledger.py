"""The ledger: runs, shards, batches, spend, stages, events.

Types are written out and not taken from `offpeak.ledger.schema`, which moves on; this step does not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
MONEY = sa.Numeric().with_variant(sa.Text(), "sqlite")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.String(20)


def upgrade() -> None:
    _runs()
    _shards()
    _batches()
    _spend()
    _stages()
    _events()


def _runs() -> None:
    op.create_table(
        "offpeak_runs",
        sa.Column("sequence", SEQUENCE, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("interval_key", sa.Text(), nullable=False),
        sa.Column("interval_start", MOMENT, nullable=False),
        sa.Column("interval_end", MOMENT, nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("spec_hash", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_offpeak_runs"),
        sa.UniqueConstraint("run_id", name="uq_offpeak_runs_run_id"),
        sa.UniqueConstraint(
            "workload", "interval_key", "edition", name="uq_offpeak_runs_workload_interval_key_edition"
        ),
    )
    op.create_index("ix_offpeak_runs_workload_created_at", "offpeak_runs", ["workload", "created_at"])
    op.create_index("ix_offpeak_runs_created_at", "offpeak_runs", ["created_at"])


def _shards() -> None:
    op.create_table(
        "offpeak_shards",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("request_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("estimated_tokens", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("intent_at", MOMENT),
        sa.Column("upload_id", sa.Text()),
        sa.Column("batch_id", sa.Text()),
        sa.Column("not_before", MOMENT),
        sa.Column("results", sa.Text(), nullable=False),
        sa.Column("outcomes", sa.JSON(), nullable=False),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("cost_usd", MONEY),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "round", "number", name="pk_offpeak_shards"),
        sa.ForeignKeyConstraint(["run_id"], ["offpeak_runs.run_id"], name="fk_offpeak_shards_run_id"),
    )


def _batches() -> None:
    op.create_table(
        "offpeak_batches",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("status", WORD, nullable=False),
        sa.Column("provider_status", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "batch_id", name="pk_offpeak_batches"),
        sa.ForeignKeyConstraint(
            ["run_id", "round", "number"],
            ["offpeak_shards.run_id", "offpeak_shards.round", "offpeak_shards.number"],
            name="fk_offpeak_batches_run_id_round_number",
        ),
        sa.UniqueConstraint(
            "run_id", "round", "number", "attempt", name="uq_offpeak_batches_run_id_round_number_attempt"
        ),
    )


def _spend() -> None:
    op.create_table(
        "offpeak_spend",
        sa.Column("sequence", SEQUENCE, nullable=False),
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("route", WORD, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("cost_usd", MONEY),
        sa.Column("realtime_usd", MONEY),
        sa.PrimaryKeyConstraint("sequence", name="pk_offpeak_spend"),
    )
    op.create_index("ix_offpeak_spend_run_id", "offpeak_spend", ["run_id"])
    op.create_index("ix_offpeak_spend_workload_model", "offpeak_spend", ["workload", "model"])
    op.create_index("ix_offpeak_spend_at", "offpeak_spend", ["at"])


def _stages() -> None:
    op.create_table(
        "offpeak_stages",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "name", name="pk_offpeak_stages"),
        sa.ForeignKeyConstraint(["run_id"], ["offpeak_runs.run_id"], name="fk_offpeak_stages_run_id"),
    )


def _events() -> None:
    op.create_table(
        "offpeak_events",
        sa.Column("sequence", SEQUENCE, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_offpeak_events"),
        sa.ForeignKeyConstraint(["run_id"], ["offpeak_runs.run_id"], name="fk_offpeak_events_run_id"),
    )
    op.create_index("ix_offpeak_events_run_id_sequence", "offpeak_events", ["run_id", "sequence"])

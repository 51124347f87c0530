"""The ledger's tables and the types of their columns. Exact and the same on SQLite and Postgres.

Imported by the first verb, never by `import offpeak.ledger`: this is where SQLAlchemy comes in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from offpeak.errors import SpecError
from offpeak.states import AlertCause, BatchStatus, Route, RunState, ShardState

REVISIONS = ("0001", "0002", "0003")
"""Every migration this code knows, oldest first; the last one is the schema below."""

VERSION_TABLE = "offpeak_version"
"""Not alembic's default name: the ledger may share a database with Airflow, which uses that one."""


class Moment(TypeDecorator[datetime]):
    """An aware time, given back in UTC. SQLite holds ISO text of fixed width, which sorts as time does."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        utc = in_utc(value)
        return f"{utc:%Y-%m-%dT%H:%M:%S.%f}Z" if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


class Money(TypeDecorator[Decimal]):
    """A Decimal, digit for digit: NUMERIC on Postgres, text on SQLite, which has no decimals."""

    impl = Numeric()
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if not isinstance(value, Decimal) or not value.is_finite():
            raise SpecError(f"Money in the ledger is a finite Decimal, not {value!r}. Nothing was written.")
        return f"{value:f}" if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class Prose(TypeDecorator[str]):
    """Free text, from providers and models too: what no database holds (NUL, lone surrogates) is escaped."""

    impl = Text()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


class Named(TypeDecorator[StrEnum]):
    """One word of a vocabulary, stored as the word."""

    impl = String(20)
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.words(value).value

    def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.words(value)


class Facts(TypeDecorator[dict[str, Any]]):
    """A mapping as JSON. What JSON has no form for raises SpecError with the name of the fact."""

    # json and not jsonb on Postgres: jsonb refuses \u0000, which a model may well say
    impl = JSON()
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> Any:
        return {name: _as_json(name, fact) for name, fact in (value or {}).items()}


def _as_json(name: str, fact: Any) -> Any:
    try:
        return json.loads(json.dumps(fact, allow_nan=False, default=_plain))
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"The fact {name!r} cannot be kept in the ledger: {error}. Give it as text, a finite number, "
            "a list or a mapping of these. Nothing was written."
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC; SpecError for a naive one."""
    if moment.tzinfo is None:
        raise SpecError(f"The time {moment.isoformat()} has no time zone. Nothing was written; add one.")
    return moment.astimezone(UTC)


SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up only an INTEGER key

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RUNS = Table(
    "offpeak_runs",
    METADATA,
    Column("sequence", SEQUENCE, primary_key=True),
    Column("run_id", Text, nullable=False, unique=True),
    Column("workload", Text, nullable=False),
    Column("interval_key", Text, nullable=False),
    Column("interval_start", Moment, nullable=False),
    Column("interval_end", Moment, nullable=False),
    Column("edition", Integer, nullable=False),
    Column("state", Named(RunState), nullable=False),
    Column("spec_hash", Text, nullable=False),
    Column("spec", Facts, nullable=False),
    Column("store", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("due_at", Moment),
    Column("ended_at", Moment),
    Column("started_by", Prose, nullable=False),
    Column("facts", Facts, nullable=False),
    Column("error", Prose, nullable=False),
    UniqueConstraint("workload", "interval_key", "edition"),
    Index(None, "workload", "created_at"),
    Index(None, "created_at"),
)

SHARDS = Table(
    "offpeak_shards",
    METADATA,
    Column("run_id", ForeignKey(RUNS.c.run_id), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("tag", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("request_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("estimated_tokens", BigInteger, nullable=False),
    Column("provider", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("state", Named(ShardState), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("holder", Text, nullable=False),
    Column("lease_until", Moment),
    Column("intent_at", Moment),
    Column("upload_id", Text),
    Column("batch_id", Text),
    Column("not_before", Moment),
    Column("results", Text, nullable=False),
    Column("outcomes", Facts, nullable=False),
    Column("usage", Facts, nullable=False),
    Column("cost_usd", Money),
    Column("note", Prose, nullable=False),
    Column("ahead", Integer),
    Column("route", Named(Route), nullable=False, server_default=Route.BATCH.value),
    Index(None, "account", "state"),
)

BATCHES = Table(
    "offpeak_batches",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("batch_id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("status", Named(BatchStatus), nullable=False),
    Column("provider_status", Prose, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("total", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("note", Prose, nullable=False),
    ForeignKeyConstraint(["run_id", "round", "number"], [SHARDS.c.run_id, SHARDS.c.round, SHARDS.c.number]),
    UniqueConstraint("run_id", "round", "number", "attempt"),  # never two batches for one attempt
)

SPEND = Table(
    "offpeak_spend",
    METADATA,
    Column("sequence", SEQUENCE, primary_key=True),
    Column("workload", Text, nullable=False),
    Column("run_id", Text, nullable=False),  # no foreign key: money that left is written down in any case
    Column("at", Moment, nullable=False),
    Column("route", Named(Route), nullable=False),
    Column("provider", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("usage", Facts, nullable=False),
    Column("cost_usd", Money),
    Column("realtime_usd", Money),
    Index(None, "run_id"),
    Index(None, "workload", "model"),
    Index(None, "at"),
)

STAGES = Table(
    "offpeak_stages",
    METADATA,
    Column("run_id", ForeignKey(RUNS.c.run_id), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("seconds", Double, nullable=False),
)

EVENTS = Table(
    "offpeak_events",
    METADATA,
    Column("sequence", SEQUENCE, primary_key=True),
    Column("run_id", ForeignKey(RUNS.c.run_id), nullable=False),
    Column("at", Moment, nullable=False),
    Column("what", Prose, nullable=False),
    Column("detail", Prose, nullable=False),
    Index(None, "run_id", "sequence"),
)

ALERTS = Table(
    "offpeak_alerts",
    METADATA,
    Column("sequence", SEQUENCE, primary_key=True),
    Column("key", Text, nullable=False),
    Column("open_key", Text, unique=True),  # the key while the alert is open, null afterwards
    Column("workload", Text, nullable=False),
    Column("run_id", Text, nullable=False),  # no foreign key: a run that never started has no row
    Column("cause", Named(AlertCause), nullable=False),
    Column("subject", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("essence", Prose, nullable=False),
    Column("grade", Integer, nullable=False),
    Column("facts", Facts, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("resolved_at", Moment),
    Index(None, "subject"),
    Index(None, "workload", "updated_at"),
)

DELIVERIES = Table(
    "offpeak_deliveries",
    METADATA,
    Column("alert", ForeignKey(ALERTS.c.sequence), primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("told_version", Integer, nullable=False),
    Column("told_at", Moment),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Moment),
    Column("holder", Text, nullable=False),
    Column("lease_until", Moment),
    Column("error", Prose, nullable=False),
)

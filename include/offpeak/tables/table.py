"""What every table promises: staged first, published in one atomic step, the same again if run again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.connections import Connections
    from offpeak.store import Store

PROVENANCE = (
    ("_fingerprint", "string"),  # of the request that answered the row; null for a row never asked
    ("_model", "string"),  # the model that answered, in the provider's words
    ("_run", "string"),  # the run in which it was asked
    ("_outcome", "string"),
    ("_input_tokens", "int64"),
    ("_output_tokens", "int64"),
    ("_cost_usd", "decimal128(18, 9)"),  # what this row cost this run: the sum over a table is what was paid
    ("_answered_at", "timestamp[us, tz=UTC]"),
)
"""Columns of provenance on every row, after the key, the kept columns and the answer's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of a table, in order, as Arrow types; the provenance columns come last."""

    schema: pa.Schema
    key: str
    answer: tuple[str, ...]
    """The names of the answer's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The whole result of one run, judged and ready: one local Parquet file in the layout."""

    path: Path
    layout: Layout
    workload: str
    run_id: str
    interval_key: str
    """Names the run's partition, e.g. 2026-11-22T080000Z."""
    row_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What readers see: where it is, of which run, since when."""

    address: str
    run_id: str
    published_at: datetime
    row_count: int


class Table(Protocol):
    """A table as the spec names it. Made at parse time, without I/O; mistakes raise SpecError."""

    def describe(self) -> str:
        """One line for people: the kind and the address, no credentials."""

    def problems(self, layout_types: dict[str, str]) -> list[str]:
        """What this kind of table cannot hold (column name to Arrow type text), each with its cure."""

    def open(self, store: Store, connections: Connections) -> OpenTable: ...


class OpenTable(Protocol):
    """The table itself. Errors are TableError, with what readers now see."""

    def answered(self, wanted: Path, layout: Layout, into: Path) -> int:
        """Carry: write to the Parquet file `into` what the table already answers.

        `wanted` is a Parquet file with a column `_fingerprint` (string; nulls and repeats count for nothing).
        Written are, for each of those that has a row with `_outcome = 'answered'`, one row (the latest
        answered) with the layout's answer columns and all provenance columns. Returns their number; 0 (and a
        valid empty file) when the table does not exist yet or lacks one of the layout's answer columns.
        Bounded memory.
        """

    def publish(self, staged: Staged) -> Published:
        """One atomic step; readers see the old rows or the new, never a mixture. Running it again with
        the same run changes nothing. Columns that are new are added; a column whose type cannot hold
        the new values raises TableError before anything is changed."""

    def last(self, workload: str) -> Published | None:
        """The last publish of this workload into this table, None if there was none."""

    def head(self, count: int) -> pa.Table:
        """Some rows of the last publish, in key order."""

    def close(self) -> None: ...

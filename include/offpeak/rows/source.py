"""What every source of rows promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.connections import Connections
    from offpeak.site import Interval
    from offpeak.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """One record that could not be read. It becomes a dead letter, never a silently dropped row."""

    origin: str
    """The file's address, or the query's name."""
    number: int
    """1-based line (text files) or row number within the origin."""
    reason: str
    """What is wrong and, where there is one, the cure."""
    excerpt: str = ""
    """The beginning of the record as read, at most 500 characters, undecodable bytes escaped."""


class RowBatch(NamedTuple):
    """Some records in the order of their origin, and the ones between them that could not be read."""

    records: pa.RecordBatch
    origin: str
    first: int
    """1-based number of the first record within its origin."""
    problems: tuple[RowProblem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a source needs to open itself for one run."""

    store: Store
    connections: Connections
    interval: Interval
    columns: tuple[str, ...] | None = None
    """The columns that are wanted, the key among them; None for all of them."""
    batch_rows: int = 8_192


class RowSource(Protocol):
    """A place that rows come from. Made at parse time, opened once per run.

    Parse-time mistakes (no key, an address with no file in its pattern, a query with an unknown
    parameter) raise SpecError in the constructor, without any I/O.
    """

    @property
    def key(self) -> str:
        """The column whose value names a row, stable from run to run."""

    def describe(self) -> str:
        """One line for people: the kind and the address, no credentials."""

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        """Stream the records; bounded memory however many there are.

        Raises InputError when a file is missing or unreadable, a wanted column is not there (the
        message lists those that are), or a query fails. A single unreadable record is a RowProblem.
        """

"""What every source of rows promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.connections import Connections
    from offpeak.site import Interval
    from offpeak.store import Store

T = TypeVar("T")


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


class Measured(NamedTuple):
    """What a share knows of an item."""

    size: int
    """In bytes, above 0."""
    version: str
    """Another one once the item is written anew."""


class Share:
    """One reader's part of a source: the `number`th, from 0, of `of`. One after the other they are all of it."""

    def __init__(self, number: int = 0, of: int = 1) -> None:
        self.number = number
        self.of = of
        self.seen = ""
        """Names the items that were there to pick from: shares fit together if all of them saw the same."""

    def pick(self, items: Sequence[T], measure: Callable[[T], Measured]) -> Sequence[T]:
        """This share's items, neighbours of about the same size together as every other share's; all of them, not
        measured, for a single reader."""
        if self.of == 1:
            return items
        measured = [measure(item) for item in items]
        self.seen = blake2b(repr((items, measured)).encode(), digest_size=16).hexdigest()
        whole, before, mine = sum(one.size for one in measured), 0, []
        for item, (size, _) in zip(items, measured, strict=True):
            if (2 * before + size) * self.of // (2 * whole) == self.number:
                mine.append(item)
            before += size
        return mine


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a source needs to open itself for one run."""

    store: Store
    connections: Connections
    interval: Interval
    columns: tuple[str, ...] | None = None
    """The columns that are wanted, the key among them; None for all of them."""
    batch_rows: int = 8_192
    share: Share = field(default_factory=Share)
    """Which part is read. A source that has no parts to give (no `has_shares`) is only ever asked for all of it."""


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

    # A source of files also says `has_shares: ClassVar[bool] = True`, and its batches keep to `opening.share`.

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        """Stream the records; bounded memory however many there are.

        Raises InputError when a file is missing or unreadable, a wanted column is not there (the
        message lists those that are), or a query fails. A single unreadable record is a RowProblem.
        """

"""Versions of a table of vectors: one for each way they are made, one of which readers see."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from offpeak.errors import SpecError, TableError
from offpeak.tables.columns import carried_schema
from offpeak.tables.table import OpenTable, Published, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.connections import Connections
    from offpeak.store import Store
    from offpeak.tables.table import Layout, Staged

KEEP = 2
"""So many versions are kept: the one readers see, and one to go back to."""
FIRST = "first"
"""The version of a table that is used without Embeddings."""
VECTOR = "vector"
_NAME = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What one version holds, and whether readers see it."""

    name: str
    workload: str
    run_id: str
    published_at: datetime
    row_count: int
    key: str
    """The column that names a row."""
    current: bool = False
    pinned: bool = False
    """A person chose it: a publish into another version does not move readers."""


class Hit(NamedTuple):
    """One row near a question."""

    score: float
    """Cosine similarity, -1 to 1."""
    row: Mapping[str, Any]


class VectorTable(Table, Protocol):
    """A table whose rows have a vector, in versions."""

    @property
    def version(self) -> str:
        """The version that a publish replaces."""

    @property
    def keep(self) -> int: ...

    def of_version(self, version: str) -> VectorTable:
        """The same table, publishing into another version."""

    def open(self, store: Store, connections: Connections) -> OpenVectors: ...


class OpenVectors(OpenTable, Protocol):
    """The table itself. A publish makes the staged rows, and no others, the content of its version, and shows
    that version to readers in the same atomic step. Errors are TableError."""

    def versions(self) -> Sequence[Version]:
        """All that are kept, the latest publish first."""

    def use(self, version: str | None) -> Version:
        """Show readers this version in one step and keep it before them; None follows the publishes again."""

    def scan(self, columns: Sequence[str], version: str | None = None) -> Iterator[pa.RecordBatch]:
        """These columns of the answered rows that readers see (or of a version), streamed; none without a table."""

    def nearest(
        self, question: Sequence[float], *, top: int, columns: Sequence[str], version: str | None = None
    ) -> Sequence[Hit]:
        """The rows with the most similar vectors, the nearest first. TableError without a published version."""


def version_of(facts: Sequence[Any]) -> str:
    """8 hex digits that stand for how the vectors are made."""
    return hashlib.blake2b(repr(list(facts)).encode(), digest_size=4).hexdigest()


def checked(version: str, keep: int) -> None:
    """SpecError for what cannot name or number versions."""
    if not _NAME.fullmatch(version):
        raise SpecError(f"version={version!r}: use up to 16 lower-case letters and digits.")
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
        raise SpecError(f"keep={keep!r}: give the number of versions to keep, at least 1.")


def seen_by_readers(versions: Sequence[Version]) -> Version | None:
    return next((one for one in versions if one.current), None)


def reader_after(versions: Sequence[Version], published: str) -> str:
    """The version that readers see once `published` was published: a pinned one stays before them."""
    pinned = next((one.name for one in versions if one.pinned), None)
    return pinned or published


def outdated(versions: Sequence[Version], keep: int) -> list[str]:
    """Which versions go, of all that there are after a publish, the latest first. Never the one readers see."""
    return [one.name for one in versions[keep:] if not one.current]


def found(versions: Sequence[Version], name: str | None, place: str) -> Version:
    """The version of this name, or the one readers see. TableError, with those that there are."""
    for one in versions:
        if one.name == name or (name is None and one.current):
            return one
    if not versions:
        raise TableError(f"{place} holds no vectors yet. Run its workload first; nothing was changed.")
    there = ", ".join(one.name for one in versions)
    raise TableError(f"{place} has no version {name!r}; nothing was changed. It has: {there}.")


def refuse_strangers(versions: Sequence[Version], workload: str, place: str) -> None:
    """TableError when another workload's vectors are here."""
    for one in versions:
        if one.workload != workload:
            raise TableError(
                f"{place} holds the vectors of the workload {one.workload!r}; {workload!r} would replace them. "
                "Nothing was published. Give each workload a table of its own."
            )


def published_version(name: str, staged: Staged, published: Published) -> Version:
    """What a publish has made of the version."""
    return Version(
        name=name,
        workload=staged.workload,
        run_id=staged.run_id,
        published_at=published.published_at,
        row_count=staged.row_count,
        key=staged.layout.key,
    )


def as_published(version: Version, address: str) -> Published:
    return Published(
        address=address,
        run_id=version.run_id,
        published_at=version.published_at,
        row_count=version.row_count,
    )


class Answering(Protocol):
    """What has answers of its own."""

    def answered(self, wanted: Path, layout: Layout, into: Path) -> int: ...


def carry_from(tables: Sequence[Answering], wanted: Path, layout: Layout, into: Path) -> int:
    """`answered` over several versions: of each fingerprint the latest answer. Bounded memory."""
    from offpeak.tables.columns import write_rows
    from offpeak.tables.engine import batches_of, engine, parquet_files

    schema = carried_schema(layout)
    with _parts(tables, wanted, layout) as parts, engine() as connection:
        if not parts:
            return write_rows([], schema, into)
        connection.execute(
            "CREATE TABLE best AS SELECT filename AS part, file_row_number AS place "
            "FROM read_parquet(?, filename = true, file_row_number = true) "
            "QUALIFY 1 = row_number() OVER (PARTITION BY _fingerprint ORDER BY _answered_at DESC NULLS LAST, part)",
            [[one for path in parts for one in parquet_files([path])]],
        )

        def rows() -> Iterator[pa.RecordBatch]:
            names = ", ".join(f'rows."{name}"' for name in schema.names)
            for path in parts:
                query = (
                    f"SELECT {names} FROM read_parquet(?, file_row_number = true) AS rows "
                    "WHERE rows.file_row_number IN (SELECT place FROM best WHERE part = ?)"
                )
                yield from batches_of(connection, query, [*parquet_files([path]), str(path)], schema)

        return write_rows(rows(), schema, into)


@contextmanager
def _parts(tables: Sequence[Answering], wanted: Path, layout: Layout) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory(prefix="offpeak-versions-") as folder:
        parts = []
        for number, table in enumerate(tables):
            path = Path(folder) / f"{number}.parquet"
            if table.answered(wanted, layout, path):
                parts.append(path)
        yield parts

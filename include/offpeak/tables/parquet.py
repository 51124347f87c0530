"""A table as a folder of Parquet files: one partition per run interval, one file in each, replaced whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from offpeak.errors import SpecError, TableError
from offpeak.site import utc_now
from offpeak.store import Store
from offpeak.tables.columns import (
    can_answer,
    carried_schema,
    clashes,
    quoted,
    rows_per_batch,
    settle,
    without_login,
    write_rows,
)
from offpeak.tables.engine import batches_of, engine, engine_errors, parquet_files, selected
from offpeak.tables.merge import require_whole
from offpeak.tables.table import Layout, OpenTable, Published, Staged

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from offpeak.connections import Connections

PARTITIONS = "interval=*/answers.parquet"
POINTER = "_latest.json"
RECORD = b"offpeak.publish"
"""Where a file says which run published it, in its key-value metadata."""

_RESERVED = {"interval": "the name of the partitions, which readers see as a column"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetTable:
    """`<address>/interval=<start of interval>/answers.parquet`, in the store or anywhere fsspec reaches."""

    address: str

    def describe(self) -> str:
        return f"Parquet in {without_login(self.address)}"

    def problems(self, layout_types: dict[str, str]) -> list[str]:
        return clashes(layout_types, _RESERVED)

    def open(self, store: Store, connections: Connections) -> OpenTable:
        return OpenParquet(folder=Store(store.expand(self.address)))


def parquet_table(address: str) -> ParquetTable:
    """A folder of Parquet files; `{store}` stands for the store's root. SpecError when it is no folder."""
    if not address.strip() or any(letter in address for letter in "*?["):
        raise SpecError(
            f'parquet_table({address!r}) needs one folder, e.g. "{{store}}/tables/tickets"; wildcards are '
            "for reading."
        )
    if address.rstrip("/").endswith(".parquet"):
        raise SpecError(
            f"parquet_table({address!r}) names a file. Give a folder: each run interval becomes a "
            "partition in it."
        )
    return ParquetTable(address=address.rstrip("/") or "/")


class _Record(NamedTuple):
    """Who published a partition, as its file says."""

    name: str
    workload: str
    run_id: str
    published_at: datetime
    row_count: int
    key: str
    schema: pa.Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenParquet:
    """The files are the truth. The pointer beside them is advice for people and for `last`: a crash between
    the two leaves the older pointer, and publishing again puts it right."""

    folder: Store
    now: Callable[[], datetime] = utc_now

    def answered(self, wanted: Path, layout: Layout, into: Path) -> int:
        schema = carried_schema(layout)
        with self._told("could not be read"):
            names = self._that_answer(self.folder.names(PARTITIONS), schema)
            if not names:
                return write_rows([], schema, into)
            with engine() as connection:
                self._reach(connection)
                return write_rows(self._latest(connection, names, wanted, schema), schema, into)

    def publish(self, staged: Staged) -> Published:
        require_whole(staged)
        with self._told("could not be published; readers keep what they had"):
            name = f"interval={staged.interval_key}/answers.parquet"
            current = self._record(name)
            self._refuse_strangers(name, current, staged)
            if current is None or current.run_id != staged.run_id:
                current = self._replace(name, current, staged)
        with self._told(
            "is published, but its _latest.json is not yet right", still="Readers see the new rows"
        ):
            self._point(current)
        return self._published(current)

    def last(self, workload: str) -> Published | None:
        with self._told("could not be read"):
            record = self._last_record()
            return self._published(record) if record and record.workload == workload else None

    def head(self, count: int) -> pa.Table:
        import pyarrow as pa

        with self._told("could not be read"), engine() as connection:
            record = self._last_record()
            if record is None:
                return pa.table({})
            self._reach(connection)
            query = (
                f"SELECT {selected(record.schema, 'rows')} FROM read_parquet(?) AS rows "
                f"ORDER BY {quoted(record.key)} LIMIT ?"
            )
            values: list[object] = [self._address(record.name), count]
            batches = list(batches_of(connection, query, values, record.schema))
            return pa.Table.from_batches(batches, record.schema) if batches else record.schema.empty_table()

    def close(self) -> None:
        """Nothing is held open between verbs."""

    # -- reading
    def _latest(
        self, connection: duckdb.DuckDBPyConnection, names: list[str], wanted: Path, schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        """The narrow columns decide which row of which file is the latest; only those rows are read whole.

        The file that was published last has nearly all of them: of the others only rows that are later are noted.
        """
        connection.execute(
            "CREATE TEMP TABLE wanted AS SELECT DISTINCT _fingerprint FROM read_parquet(?) "
            "WHERE _fingerprint IS NOT NULL",
            [*parquet_files([wanted])],
        )
        connection.execute(
            "CREATE TEMP TABLE picks (_fingerprint VARCHAR, answered TIMESTAMPTZ, file INTEGER, row BIGINT)"
        )
        for number, name in enumerate(names):
            connection.execute(
                "INSERT INTO picks SELECT rows._fingerprint, rows.answered, ?, rows.row FROM ("
                "SELECT _fingerprint, coalesce(_answered_at, '-infinity') AS answered, file_row_number AS row "
                "FROM read_parquet(?, file_row_number = true) WHERE _outcome = 'answered') AS rows "
                "SEMI JOIN wanted USING (_fingerprint) LEFT JOIN picks USING (_fingerprint) "
                "WHERE picks.answered IS NULL OR rows.answered > picks.answered",
                [number, self._address(name)],
            )
        connection.execute(
            "CREATE TEMP TABLE several AS SELECT _fingerprint FROM picks GROUP BY ALL HAVING count(*) > 1"
        )
        connection.execute(
            "CREATE TEMP TABLE best AS SELECT file, row FROM picks ANTI JOIN several USING (_fingerprint) "
            "UNION ALL SELECT file, row FROM picks SEMI JOIN several USING (_fingerprint) QUALIFY 1 = "
            "row_number() OVER (PARTITION BY _fingerprint ORDER BY answered DESC, file, row DESC)"
        )
        for (number,) in connection.execute("SELECT DISTINCT file FROM best ORDER BY file").fetchall():
            query = (
                f"SELECT {selected(schema, 'rows')} FROM read_parquet(?, file_row_number = true) AS rows "
                "WHERE rows.file_row_number IN (SELECT row FROM best WHERE file = ?)"
            )
            yield from batches_of(connection, query, [self._address(names[number]), number], schema)

    def _that_answer(self, names: Iterable[str], schema: pa.Schema) -> list[str]:
        """The files with every column of the carry (an older layout, or another's file, has not), the one that was
        published last first."""
        found: list[tuple[datetime, str]] = []
        for name in names:
            record = self._record(name)
            if record and can_answer(record.schema, schema):
                found.append((record.published_at, name))
        return [name for _, name in sorted(found, reverse=True)]

    def _record(self, name: str) -> _Record | None:
        """What a partition's file says of itself; None when it is not there or was not written here."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.folder.exists(name):
            return None
        try:
            with self._opened(name) as file:
                schema = pq.read_schema(file)
        except pa.ArrowInvalid:
            return None
        said = (schema.metadata or {}).get(RECORD)
        return _parse(name, said, schema.remove_metadata()) if said else None

    @contextmanager
    def _opened(self, name: str) -> Iterator[object]:
        if not self.folder.remote:
            yield Path(self.folder.root) / name
            return
        import fsspec

        with fsspec.open(self.folder.address(name), "rb") as file:
            yield file

    def _address(self, name: str) -> str:
        return parquet_files([self.folder.address(name)])[0]

    def _reach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let DuckDB read a remote folder through the store's file system, and so with its credentials."""
        if self.folder.remote:
            import fsspec

            fs, _ = fsspec.core.url_to_fs(self.folder.root)
            connection.register_filesystem(fs)

    def _last_record(self) -> _Record | None:
        names = self.folder.names(PARTITIONS)
        # the pointer's partition, and the newest interval in case a crash came before the pointer
        likely = {name for name in (self._pointed(), *names[-1:]) if name}
        found = [record for name in likely if (record := self._record(name))]
        if not found:
            found = [record for name in names if (record := self._record(name))]
        return max(found, key=lambda record: record.published_at, default=None)

    def _pointed(self) -> str | None:
        if not self.folder.exists(POINTER):
            return None
        try:
            return str(json.loads(self.folder.read_bytes(POINTER))["partition"])
        except (ValueError, KeyError, TypeError):
            return None  # advice that cannot be read is no advice

    # -- writing
    def _refuse_strangers(self, name: str, current: _Record | None, staged: Staged) -> None:
        if current is None and self.folder.exists(name):
            raise TableError(
                f"{self.folder.address(name)} was not written by Offpeak. It was left as it is and nothing "
                "was published. Move it away, or give the workload another folder, then publish again."
            )
        owner = current or self._last_record()
        if owner is not None and owner.workload != staged.workload:
            raise TableError(
                f"{without_login(self.folder.root)} holds the answers of the workload {owner.workload!r}; "
                f"{staged.workload!r} would replace its partitions. Nothing was published. Give each "
                "workload a folder of its own."
            )

    def _replace(self, name: str, current: _Record | None, staged: Staged) -> _Record:
        schema = staged.layout.schema.remove_metadata()
        reference = self._last_record()
        if reference is not None:
            schema = settle(reference.schema, schema, without_login(self.folder.root))
        record = _Record(
            name, staged.workload, staged.run_id, self.now(), staged.row_count, staged.layout.key, schema
        )
        with self.folder.writing(name) as path:
            write_rows(self._rows(staged, schema, current), _labelled(record), path)
        return record

    def _rows(self, staged: Staged, schema: pa.Schema, current: _Record | None) -> Iterator[pa.RecordBatch]:
        if current is None or not {"_cost_usd", "_run"} <= set(current.schema.names):
            import pyarrow.parquet as pq

            yield from pq.ParquetFile(staged.path).iter_batches(rows_per_batch(schema))
            return
        # a later edition of the same interval: what its carried rows cost stands in the file it replaces
        kept = {name: f"coalesce(paid.{quoted(name)}, rows.{quoted(name)})" for name in ("_cost_usd", "_run")}
        key = quoted(staged.layout.key)
        query = (
            f"SELECT {selected(schema, 'rows', kept)} FROM read_parquet(?) AS rows "
            f"LEFT JOIN read_parquet(?) AS paid ON rows.{key} = paid.{key} AND rows._run IS DISTINCT FROM ? "
            "AND rows._outcome = paid._outcome AND rows._fingerprint = paid._fingerprint"
        )
        with engine() as connection:
            self._reach(connection)
            values: list[object] = [*parquet_files([staged.path]), self._address(current.name), staged.run_id]
            yield from batches_of(connection, query, values, schema)

    def _point(self, record: _Record) -> None:
        """Replace the pointer when it is not already right, unless it points at a later publish."""
        latest = self._last_record() or record
        text = json.dumps({"partition": latest.name, **_said(latest)}, indent=2) + "\n"
        if not self.folder.exists(POINTER) or self.folder.read_bytes(POINTER) != text.encode():
            self.folder.write_bytes(POINTER, text.encode())

    def _published(self, record: _Record) -> Published:
        return Published(
            address=self.folder.address(record.name),
            run_id=record.run_id,
            published_at=record.published_at,
            row_count=record.row_count,
        )

    @contextmanager
    def _told(self, what: str, still: str = "Nothing was changed") -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException, *engine_errors()) as error:
            raise TableError(
                f"The Parquet table {without_login(self.folder.root)} {what}: {str(error).rstrip('.')}. "
                f"{still}; put right what the message names and run the step again."
            ) from error


def _said(record: _Record) -> dict[str, str | int]:
    return {
        "workload": record.workload,
        "run_id": record.run_id,
        "published_at": record.published_at.isoformat(),
        "row_count": record.row_count,
        "key": record.key,
    }


def _labelled(record: _Record) -> pa.Schema:
    return record.schema.with_metadata({RECORD: json.dumps(_said(record)).encode()})


def _parse(name: str, said: bytes, schema: pa.Schema) -> _Record | None:
    try:
        facts = json.loads(said)
        when = datetime.fromisoformat(facts["published_at"])
        return _Record(
            name, facts["workload"], facts["run_id"], when, facts["row_count"], facts["key"], schema
        )
    except (ValueError, KeyError, TypeError):
        return None

"""Earlier rows: what an earlier run wrote down of its rows, with new texts for those that are asked again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.errors import InputError
from offpeak.files_sql import literal
from offpeak.prompt import Prompt
from offpeak.row_files import Rows
from offpeak.rows.source import Opening, RowBatch
from offpeak.spool import Spooled, spool

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload

SENT, SENT_SYSTEM = "sent", "sent_system"
"""What a replay's prompt may use beside the key and the kept columns: the texts as the earlier run sent them."""
_TEXTS = ("_fingerprint", "_system", "_user", "_problem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The earlier run's files, and the folder where the replay's are made."""

    work: Path
    rows: Path
    plan: Path
    staged: Path
    dead_letters: Path

    def sql(self, name: str) -> str:
        """One of the earlier run's files as a table."""
        return f"read_parquet({literal(getattr(self, name))})"

    def made(self, name: str) -> str:
        """One of the replay's files as a table."""
        return f"read_parquet({literal(self.work / name)})"


def texts_again(workload: Workload, earlier: Run, changed: frozenset[str]) -> Workload:
    """The workload that renders the replay's texts: as they were sent, but for what was given anew."""
    system = workload.prompt.system
    if "system" not in changed:
        system = f"{{{{ row.{SENT_SYSTEM} }}}}" if earlier.spec["system"] else ""
    user = workload.prompt.user if "user" in changed else f"{{{{ row.{SENT} }}}}"
    return replace(workload, prompt=Prompt(system=system, user=user), checks=())


def write_rows_again(workload: Workload, site: Site, files: Earlier, earlier: Run) -> Spooled:
    """Write rows.parquet: the earlier run's, with new texts and fingerprints for those that are chosen."""
    import pyarrow.parquet as pq

    from offpeak.site import Interval

    source = _Chosen(
        files=files,
        key=workload.rows.key,
        keep=tuple(workload.keep),
        run_id=earlier.run_id,
        apart=str(getattr(workload.rows, "apart", "")),
    )
    again = replace(workload, rows=source)
    interval = Interval(start=earlier.interval_start, end=earlier.interval_end)
    opening = Opening(store=site.store, connections=site.connections, interval=interval)
    spool(again, opening, files.work / "again.parquet", None)
    _refuse_unaskable(files.work / "again.parquet", earlier, source.key)
    rows = files.work / "rows.parquet"
    fresh = Rows(files.work / "again.parquet")
    count = 0
    with pq.ParquetWriter(rows, pq.read_schema(files.rows), compression="lz4") as writer:
        for batch, mask in _flagged(files):
            writer.write_batch(_renewed(batch, mask, fresh))
            count += batch.num_rows
    key_type = str(pq.read_schema(rows).field(source.key).type)
    return Spooled(path=rows, key=source.key, key_type=key_type, rows=count)


def _refuse_unaskable(path: Path, earlier: Run, key: str) -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(columns=[key, "_problem"]):
        bad = batch.filter(pc.is_valid(batch.column("_problem")))
        if bad.num_rows:
            first = bad.slice(0, 1).to_pylist()[0]
            raise InputError(
                f"The replay of run {earlier.run_id} cannot ask the row with key {first[key]!r} this way: "
                f"{first['_problem']}. Nothing was sent; the earlier run and its table are as they were."
            )


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The rows of the earlier run that are asked again, as a source of rows."""

    files: Earlier
    key: str
    keep: tuple[str, ...]
    run_id: str
    apart: str = ""

    def describe(self) -> str:
        return f"the dead letters of run {self.run_id}"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        import pyarrow as pa

        first = 1
        for batch, mask in _flagged(self.files):
            part = batch.filter(mask)
            if not part.num_rows:
                continue
            columns = {name: part.column(name) for name in (self.key, *self.keep)}
            sent = {SENT: _plain(part.column("_user")), SENT_SYSTEM: _plain(part.column("_system"))}
            yield RowBatch(pa.RecordBatch.from_pydict({**sent, **columns}), self.describe(), first)
            first += part.num_rows


def _flagged(files: Earlier) -> Iterator[tuple[pa.RecordBatch, pa.Array]]:
    """The earlier run's rows in batches, each with whether they are asked again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flags = Rows(files.work / "chosen.parquet")
    rows = pq.ParquetFile(files.rows)
    for group in range(rows.num_row_groups):  # the spool keeps each of them small
        for batch in rows.iter_batches(row_groups=[group]):
            yield batch, pa.concat_arrays(flags.take(batch.num_rows).column("chosen").chunks)


def _renewed(batch: pa.RecordBatch, mask: pa.Array, fresh: Rows) -> pa.RecordBatch:
    """The batch with the texts of its chosen rows replaced by the next ones of `fresh`."""
    import pyarrow.compute as pc

    count = mask.true_count
    if not count:
        return batch
    new = fresh.take(count)
    for name in _TEXTS:
        at = batch.schema.get_field_index(name)
        field = batch.schema.field(at)
        texts = new.column(name).cast("string").combine_chunks()
        column = pc.replace_with_mask(_plain(batch.column(at)), mask, texts)
        batch = batch.set_column(at, field, column.cast(field.type))
    return batch


def _plain(column: pa.Array) -> pa.Array:
    """Text as text, not as a dictionary of texts."""
    return column.cast("string")

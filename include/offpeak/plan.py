"""The plan: rows read once and spooled, equal requests folded, answered ones carried, the rest cut into shards.

What is left behind in the run's folder:

    rows.parquet     every row: key, kept columns, fingerprint, rendered text, or what is wrong with it
    plan.parquet     for every row, in the same order, what becomes of it
    carried.parquet  answers that were paid for before, by fingerprint
    shards/          the requests
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.arrays import text
from offpeak.canary import canary_requests
from offpeak.carry import LOOK_BACK_RUNS, carry, carry_nothing
from offpeak.errors import InputError, SpecError
from offpeak.files_sql import files_sql, literal, narrowly, quoted
from offpeak.lines import Lines
from offpeak.overlap import ahead
from offpeak.quota import Quota
from offpeak.row_files import Rows
from offpeak.rows.source import Opening
from offpeak.shards import Cut, ShardFile, ShardWriter
from offpeak.site import account_of
from offpeak.spool import Spooled, spool
from offpeak.states import RunState

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from offpeak.ledger import Run
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will ask. `rows` = `asked` + `folded` + `carried` + `bad` + `kept`."""

    folder: str
    """Where its files lie in the store."""
    rows: int
    asked: int
    """Requests that will be sent and paid for."""
    folded: int
    """Rows whose request is the same as another row's of this run."""
    carried: int
    """Rows whose request was answered before."""
    bad: int
    """Rows that cannot be asked: unreadable, without key, a repeated key, a null in the prompt, too large."""
    shards: tuple[ShardFile, ...]
    canary: bool
    """Whether the first shard is a small one that goes ahead of the others."""
    key_type: str
    bad_examples: tuple[str, ...] = ()
    kept: int = 0
    """Rows of a replay that keep the outcome they had, and are not asked."""
    replay_of: str = ""
    """The run whose dead letters are asked again."""


def make_plan(
    workload: Workload,
    site: Site,
    run: Run,
    interval: Interval,
    *,
    limit: int | None = None,
    again: bool = False,
) -> Plan:
    """Read the rows and write the run's files. Sends nothing and leaves the ledger alone.

    `limit` reads that many rows at most; `again` asks even what was answered before. Raises InputError
    for rows that cannot be read or when more than the workload's `max_failed` of them are bad.
    """
    opening = _opening(workload, site, interval)
    with tempfile.TemporaryDirectory(prefix="offpeak-plan-") as place:
        work = Path(place)
        spooled = spool(workload, opening, work / "rows.parquet", limit)
        with files_sql(work) as sql:
            _mark(sql, work, workload.rows.key)
            _refuse_too_many_bad(sql, workload, spooled)
            if again:
                carry_nothing(workload, work)
            else:
                carry(workload, site, sql, work, wanted=work / "rows.parquet")
            return write_plan(workload, site, run, sql, spooled)


def write_plan(
    workload: Workload, site: Site, run: Run, sql: duckdb.DuckDBPyConnection, spooled: Spooled
) -> Plan:
    """Decide over the spooled rows and what is carried, beside each other in one folder; cut the shards and put
    everything into the store. `sql` has the table `marks`: what kind each row is."""
    # two planners of one run never share a folder: the ledger decides whose plan counts
    folder, work = f"{run_folder(run)}/plan-{secrets.token_hex(3)}", spooled.path.parent
    _decide(sql, work)
    counts = _counts(sql, work)
    canary = _canary(workload, site, run, counts.get("ask", 0))
    shards = _write_shards(workload, site, work, folder, canary)
    plan = Plan(
        folder=folder,
        rows=spooled.rows,
        asked=counts.get("ask", 0),
        folded=counts.get("fold", 0),
        carried=counts.get("carry", 0),
        bad=counts.get("bad", 0) + counts.get("duplicate", 0),
        kept=counts.get("keep", 0),
        shards=shards,
        canary=canary is not None,
        key_type=spooled.key_type,
        bad_examples=tuple(_bad_examples(sql, spooled, 5)),
    )
    for name in ("rows.parquet", "plan.parquet", "carried.parquet"):
        site.store.put(work / name, f"{folder}/{name}")
    return plan


def _opening(workload: Workload, site: Site, interval: Interval) -> Opening:
    return Opening(
        store=site.store,
        connections=site.connections,
        interval=interval,
        columns=workload.columns_needed(),
    )


def run_folder(run: Run) -> str:
    """The run's folder in the store."""
    return f"runs/{run.workload}/{run.interval_key}~{run.edition}"


def _mark(sql: duckdb.DuckDBPyConnection, work: Path, key: str) -> None:
    """`marks`: which rows can be asked; a key's second row cannot. `folds`: what several of them ask alike.

    What is there twice is looked for by short hashes first, a fifth of the memory, and among those by itself.
    """
    rows, name = f"read_parquet({literal(work / 'rows.parquet')})", quoted(key)
    narrowly(
        sql,
        f"CREATE TABLE keys AS {_seen_twice(name, rows)}",
        f"""CREATE TABLE repeated AS
            SELECT {name} AS key, min(_ordinal) AS first FROM {rows}
            WHERE hash({name}) IN (FROM keys) GROUP BY {name} HAVING count(*) > 1""",
        f"""CREATE VIEW marks AS
            SELECT r._ordinal, r._fingerprint,
                   CASE WHEN r._ordinal > k.first THEN 'duplicate'
                        WHEN r._problem IS NOT NULL THEN 'bad' ELSE 'good' END AS kind
            FROM {rows} r LEFT JOIN repeated k ON r.{name} = k.key""",
        f"CREATE TABLE requests AS {_seen_twice('_fingerprint', rows)}",
        """CREATE TABLE folds AS
           SELECT _fingerprint, min(_ordinal) AS first FROM marks
           WHERE kind = 'good' AND hash(_fingerprint) IN (FROM requests)
           GROUP BY _fingerprint HAVING count(*) > 1""",
    )


def _seen_twice(name: str, rows: str) -> str:
    """Hashes of the values that are there more than once, and perhaps of a few others."""
    return (
        f"SELECT hash({name}) AS hash FROM {rows} WHERE {name} IS NOT NULL GROUP BY hash HAVING count(*) > 1"
    )


def _refuse_too_many_bad(sql: duckdb.DuckDBPyConnection, workload: Workload, spooled: Spooled) -> None:
    bad = _number(sql, "SELECT count(*) FROM marks WHERE kind <> 'good'")
    if not bad or bad <= workload.max_failed * spooled.rows:
        return
    listed = "".join(f"\n  - {line}" for line in _bad_examples(sql, spooled, 5))
    raise InputError(
        f"Workload {workload.name}: {bad:,} of {spooled.rows:,} rows cannot be asked, more than its "
        f"max_failed={workload.max_failed:g} allows. Nothing was sent. The first of them:{listed}\n"
        "Correct the rows, or raise max_failed to go on with them as dead letters."
    )


def _bad_examples(sql: duckdb.DuckDBPyConnection, spooled: Spooled, count: int) -> list[str]:
    key = quoted(spooled.key)
    found = sql.execute(
        f"""SELECT r._origin, r._number, r.{key}, coalesce(r._problem,
                   'the key was already used by an earlier row; keys must be unique')
            FROM read_parquet({literal(spooled.path)}) r JOIN marks m USING (_ordinal)
            WHERE m.kind IN ('bad', 'duplicate') ORDER BY r._ordinal LIMIT {count}"""
    ).fetchall()
    return [
        f"{origin}, {spooled.unit} {number}{f', key {row_key}' if row_key is not None else ''}: {reason}"
        for origin, number, row_key, reason in found
    ]


def _decide(sql: duckdb.DuckDBPyConnection, work: Path) -> None:
    """plan.parquet: `ask` (the first row of each request), `fold`, `carry`, or the row's mark if it is not good.

    Reads `marks`, `folds` and carried.parquet.
    """
    carried = literal(work / "carried.parquet")
    narrowly(
        sql,
        f"""COPY (
              SELECT m._ordinal,
                     CASE WHEN m.kind <> 'good' THEN m.kind
                          WHEN c._fingerprint IS NOT NULL THEN 'carry'
                          WHEN f.first < m._ordinal THEN 'fold' ELSE 'ask' END AS decision
              FROM marks m
              LEFT JOIN (SELECT DISTINCT _fingerprint FROM read_parquet({carried})) c
                     ON m.kind = 'good' AND m._fingerprint = c._fingerprint
              LEFT JOIN folds f ON m.kind = 'good' AND m._fingerprint = f._fingerprint
              ORDER BY m._ordinal
            ) TO {literal(work / "plan.parquet")} (FORMAT parquet)""",
    )


def _asked(work: Path, slice_rows: int) -> Iterator[pa.RecordBatch]:
    """(fingerprint, system, user) of every row to ask, in the order of the rows, in slices."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = ["_fingerprint", "_system", "_user"]
    rows = pq.ParquetFile(work / "rows.parquet")
    plan = Rows(work / "plan.parquet", ["decision"])
    for group in range(rows.num_row_groups):  # the spool keeps each of them small, with its own system texts
        for batch in rows.iter_batches(slice_rows, row_groups=[group], columns=columns):
            decisions = plan.take(batch.num_rows)["decision"].combine_chunks()
            asked = batch.filter(pc.equal(decisions, text("ask")))
            if asked.num_rows:
                yield asked


def _write_shards(
    workload: Workload, site: Site, work: Path, folder: str, canary: int | None
) -> tuple[ShardFile, ...]:
    cut = Cut.of(workload.provider.limits, workload.shard_limit, first=canary)
    shards = ShardWriter(site.store, folder, cut.within(_quota(workload, site), workload.model_name))
    lines = Lines(workload.provider, workload.ask)
    try:
        for asked in ahead(_asked(work, lines.slice_rows(workload.templates))):
            lines.write(shards, *asked.columns)
        return tuple(shards.finish())
    except BaseException as error:
        shards.abandon(error)
        raise


def _quota(workload: Workload, site: Site) -> Quota:
    """The account's; none for a look at a plan that nobody has the keys to send."""
    try:
        return account_of(workload, site).quota
    except SpecError:
        return Quota()


def _counts(sql: duckdb.DuckDBPyConnection, work: Path) -> dict[str, int]:
    """Rows by decision."""
    plan = literal(work / "plan.parquet")
    return dict(sql.execute(f"SELECT decision, count(*) FROM read_parquet({plan}) GROUP BY ALL").fetchall())


def _canary(workload: Workload, site: Site, run: Run, asked: int) -> int | None:
    published = site.ledger.runs(workload.name, states=(RunState.PUBLISHED,), limit=LOOK_BACK_RUNS)
    known = any(one.spec.get("asks") == run.spec.get("asks") for one in published)
    return canary_requests(workload.canary, asked=asked, is_new=not known)


def _number(sql: duckdb.DuckDBPyConnection, query: str) -> int:
    ((number,),) = sql.execute(query).fetchall()  # to the end: the connection is free again
    return int(number)

"""Assembling: rows, answers and carried answers joined into the one file that is judged and published."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.errors import ReconcileError
from offpeak.files_sql import files_sql, literal, quoted
from offpeak.layout import layout_of
from offpeak.results import parquet_options, result_schema
from offpeak.tables.table import PROVENANCE, Layout

if TYPE_CHECKING:
    import duckdb

    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload

STAGED = "staged.parquet"
DEAD_LETTERS = "dead_letters.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """The whole run, row by row."""

    rows: int
    """Rows of the table: those with a key of their own."""
    outcomes: Mapping[str, int]
    """Of every input row, the ones without a place in the table included."""
    dead_letters: int


def assemble(workload: Workload, site: Site, run: Run) -> Assembled:
    """Write `staged.parquet` and `dead_letters.parquet` into the run's folder.

    ReconcileError when input rows and outcomes do not add up.
    """
    import pyarrow.parquet as pq

    folder = str(run.facts["folder"])
    with tempfile.TemporaryDirectory(prefix="offpeak-assemble-") as place, ExitStack() as stack:
        work = Path(place)
        files = {
            name: stack.enter_context(site.store.reading(f"{folder}/{name}.parquet"))
            for name in ("rows", "plan", "carried")
        }
        results = [
            stack.enter_context(site.store.reading(name))
            for name in site.store.names(f"{folder}/results/*.parquet")
        ]
        layout = layout_of(workload, pq.read_schema(files["rows"]))
        with files_sql(work) as sql:
            _read(sql, files, results, workload)
            outcomes, placed = _counts(sql, layout.key)
            _reconcile(run, outcomes)
            rows = _write_staged(sql, work / STAGED, layout, run.run_id)
            _reconcile_staged(run, rows, placed)
            dead_letters = sum(outcomes.values()) - outcomes.get("answered", 0)
            _write_dead_letters(sql, work / DEAD_LETTERS, workload.rows.key, any_there=dead_letters > 0)
        for name in (STAGED, DEAD_LETTERS):
            site.store.put(work / name, f"{folder}/{name}")
    return Assembled(
        rows=rows, outcomes={str(name): count for name, count in outcomes.items()}, dead_letters=dead_letters
    )


def _read(
    sql: duckdb.DuckDBPyConnection, files: Mapping[str, Path], results: list[Path], workload: Workload
) -> None:
    """`joined`: every row with its decision, its outcome and why; `latest`: the last result of each request.

    Names beside the rows' own columns begin with `_` and are reserved: a kept column may be called `reason`.
    """
    for name, path in files.items():
        sql.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({literal(path)})")
    if results:
        listed = ", ".join(literal(path) for path in results)
        sql.execute(f"CREATE VIEW results AS SELECT * FROM read_parquet([{listed}])")
    else:
        sql.register("no_results", result_schema(workload).empty_table())
        sql.execute("CREATE VIEW results AS SELECT * FROM no_results")
    # most requests have one result: only those of later rounds are grouped
    sql.execute("CREATE TABLE asked_again AS SELECT DISTINCT _fingerprint FROM results WHERE _round > 1")
    sql.execute(
        """CREATE VIEW latest AS
           SELECT * FROM results ANTI JOIN asked_again USING (_fingerprint)
           UNION ALL BY NAME
           SELECT * REPLACE (
                    sum(_cost_usd) OVER request AS _cost_usd,
                    sum(_input_tokens) OVER request AS _input_tokens,
                    sum(_output_tokens) OVER request AS _output_tokens)
           FROM results SEMI JOIN asked_again USING (_fingerprint)
           WINDOW request AS (PARTITION BY _fingerprint)
           QUALIFY row_number() OVER (PARTITION BY _fingerprint ORDER BY _round DESC) = 1"""
    )
    sql.execute(
        f"""CREATE VIEW joined AS
           SELECT r.*, p.decision AS _decision, l._round AS _round, l._code AS _code, {_OUTCOME} AS _outcome,
                  CASE p.decision WHEN 'duplicate' THEN
                           coalesce(r._problem, 'the key was already used by an earlier row of this run')
                       ELSE coalesce(r._problem, l._reason) END AS _reason,
                  l._raw AS _raw
           {_FROM}"""
    )


_FROM = """FROM rows r POSITIONAL JOIN (SELECT decision FROM plan) p
           LEFT JOIN latest l ON p.decision IN ('ask', 'fold', 'keep') AND r._fingerprint = l._fingerprint"""
"""Every row `r` with its decision `p` and the last result `l` of its request."""
_OUTCOME = """CASE p.decision WHEN 'bad' THEN 'errored' WHEN 'duplicate' THEN 'duplicate'
                              WHEN 'carry' THEN 'answered' ELSE l._outcome END"""


def _counts(sql: duckdb.DuckDBPyConnection, key: str) -> tuple[dict[str | None, int], int]:
    """Rows by outcome, and how many have a place in the table."""
    found = sql.execute(
        f"""SELECT _outcome, count(*), count(*) FILTER (_decision <> 'duplicate' AND {quoted(key)} IS NOT NULL)
            FROM joined GROUP BY ALL"""
    ).fetchall()
    return {outcome: count for outcome, count, _ in found}, sum(placed for _, _, placed in found)


def _write_staged(sql: duckdb.DuckDBPyConnection, path: Path, layout: Layout, run_id: str) -> int:
    """The table's rows, streamed in the order of the input; returns their number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    own = layout.schema.names[: -len(PROVENANCE) - len(layout.answer)]
    answers = [f"coalesce(c.{quoted(n)}, l.{quoted(n)}) AS {quoted(n)}" for n in layout.answer]
    query = f"""
        SELECT {", ".join(f"r.{quoted(name)}" for name in own)}, {", ".join(answers)},
               r._fingerprint,
               coalesce(c._model, l._model) AS _model,
               coalesce(c._run, l._run, {literal(run_id)}) AS _run,
               {_OUTCOME} AS _outcome,
               coalesce(c._input_tokens, l._input_tokens) AS _input_tokens,
               coalesce(c._output_tokens, l._output_tokens) AS _output_tokens,
               CASE WHEN p.decision = 'ask' THEN l._cost_usd ELSE 0 END::DECIMAL(18, 9) AS _cost_usd,
               coalesce(c._answered_at, l._answered_at) AS _answered_at
        {_FROM}
        LEFT JOIN carried c ON p.decision = 'carry' AND r._fingerprint = c._fingerprint
        WHERE p.decision <> 'duplicate' AND r.{quoted(layout.key)} IS NOT NULL
        ORDER BY r._ordinal"""
    count = 0
    with pq.ParquetWriter(path, layout.schema, **parquet_options(layout.schema)) as writer:
        for batch in sql.sql(query).to_arrow_reader(16_384):
            writer.write_table(pa.Table.from_batches([batch]).cast(layout.schema))
            count += batch.num_rows
    return count


def _write_dead_letters(sql: duckdb.DuckDBPyConnection, path: Path, key: str, *, any_there: bool) -> None:
    """Every row without an answer, with what is needed to look into it and to ask it again."""
    # few of many: which ones is decided by the narrow columns, the wide ones are read for those alone
    dead = "_outcome <> 'answered'" if any_there else "false"
    sql.execute(
        f"""CREATE TABLE dead AS
            SELECT _ordinal, _outcome, _code, _reason, _round, _raw FROM joined WHERE {dead}"""
    )
    sql.execute(
        f"""COPY (SELECT r.{quoted(key)}::VARCHAR AS key, r._fingerprint AS fingerprint, d._outcome AS outcome,
                         d._code AS code, d._reason AS reason, d._round AS rounds, d._raw AS raw,
                         r._system AS system, r._user AS user, r._origin AS origin, r._number AS number
                  FROM rows r JOIN dead d USING (_ordinal) ORDER BY _ordinal)
            TO {literal(path)} (FORMAT parquet, COMPRESSION zstd)"""
    )


def _reconcile(run: Run, outcomes: Mapping[str | None, int]) -> None:
    """Rows in = outcomes out, each with exactly one."""
    expected = int(run.facts["rows"])
    counted = {str(name): number for name, number in outcomes.items() if name is not None}
    if None in outcomes or sum(counted.values()) != expected:
        raise ReconcileError(
            f"Run {run.run_id}: {expected:,} rows went in, but {sum(counted.values()):,} have an outcome "
            f"({counted}). {_KEPT} {run.facts['folder']}; report this as a bug with that folder."
        )


def _reconcile_staged(run: Run, rows: int, placed: int) -> None:
    if rows != placed:
        raise ReconcileError(
            f"Run {run.run_id}: {placed:,} rows belong into the table, but {rows:,} were written for it. "
            f"{_KEPT} {run.facts['folder']}; report this as a bug with that folder."
        )


_KEPT = "Nothing was published, and nothing more is billed. The results are kept in"

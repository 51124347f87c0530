"""Replay: a run's dead letters asked again, while every other row of it keeps what it has.

A replay works on what the earlier run left in the store, never on the rows' source: its rows and texts
are those of the earlier run, whatever the source says by now. It becomes the next edition of the same
interval, with every row in it, and goes through the same checks into the same table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.arrays import as_bytes
from offpeak.asked import asking
from offpeak.assemble import STAGED
from offpeak.carry import carry
from offpeak.dead_letters import ALL, Choice, letters_file
from offpeak.decisions import EXAMPLES
from offpeak.earlier import SENT, SENT_SYSTEM, Earlier, texts_again, write_rows_again
from offpeak.errors import SpecError
from offpeak.files_sql import files_sql, literal, quoted
from offpeak.layout import layout_of
from offpeak.letters import DEAD_LETTERS
from offpeak.plan import Plan, write_plan
from offpeak.prompt import Prompt
from offpeak.results import result_schema
from offpeak.states import RunState
from offpeak.tables.columns import carried_schema

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload

KEPT = "results/r0-kept.parquet"
"""Where a replay keeps the outcomes of the dead letters that it does not ask: beside its own results."""


def earlier_run(workload: Workload, site: Site, run_id: str) -> Run:
    """The run whose dead letters are to be asked again. SpecError says why it cannot be done."""
    run = site.ledger.run(run_id)
    why = ""
    if run.workload != workload.name:
        why = f"it is of the workload {run.workload}, not of {workload.name}"
    elif run.store != site.store.root:
        why = f"its files are in the store {run.store}, and this is {site.store.root}"
    elif not run.state.ended:
        why = f"it is still {run.state}; wait for its end, or cancel it"
    elif (later := _later(site, run)) is not None:
        why = f"{later} was published for the same interval after it; replay that one"
    elif (changed := _changed(workload, run)) is not None:
        why = f"the workload's {changed} is another one by now; run the interval again instead"
    if why:
        raise SpecError(f"The dead letters of run {run_id} cannot be replayed: {why}. Nothing was sent.")
    letters_file(site, run_id)
    return run


def _later(site: Site, run: Run) -> str | None:
    for one in site.ledger.runs(run.workload, states=(RunState.PUBLISHED,), limit=1_000):
        if one.interval_key == run.interval_key and one.edition > run.edition:
            return one.run_id
    return None


def _changed(workload: Workload, run: Run) -> str | None:
    """What of the table's columns differs from the earlier run's, so that its answers would not fit."""
    columns = {column.name: column.type for column in workload.form.columns}
    if run.spec["answer"] != columns:
        return "answer type"
    return "keep" if run.spec["keep"] != list(workload.keep) else None


def check_prompt(workload: Workload, changed: frozenset[str]) -> None:
    """SpecError when a text that was given for the replay asks for what the earlier run did not write down."""
    known = {workload.rows.key, *workload.keep, SENT, SENT_SYSTEM}
    for part, template in zip(("system", "user"), workload.templates, strict=True):
        missing = sorted((template.columns or frozenset()) - known) if part in changed else []
        if missing:
            raise SpecError(
                f"The {part} text of a replay uses {', '.join(f'row.{name}' for name in missing)}. A replay does not "
                f"read the source again: there are {', '.join(f'row.{name}' for name in sorted(known))}, where "
                f"row.{SENT} is the user text as it was sent. Nothing was sent."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Which run's dead letters are asked again, which of them, and what is said or asked otherwise."""

    of: str
    choice: Choice = ALL
    changes: Mapping[str, Any] = field(default_factory=dict)
    """`model`, `max_output_tokens`, `system`, `user`; what is not given is as in the DAG file, the texts as
    they were sent."""


def to_ask(workload: Workload, site: Site, replay: Replay) -> tuple[Workload, dict[str, Any]]:
    """The workload that the replay asks, and what its run's spec says of it. SpecError when it cannot be."""
    earlier = earlier_run(workload, site, replay.of)
    changed = frozenset(replay.changes)
    texts = {part: replay.changes.get(part, earlier.spec[part]) for part in ("system", "user")}
    others = {name: value for name, value in replay.changes.items() if name not in texts}
    asked = asking(workload, prompt=Prompt(**texts), **others)
    check_prompt(asked, changed)
    said = {
        "of": replay.of,
        "outcomes": list(replay.choice.outcomes),
        "codes": list(replay.choice.codes),
        "key": replay.choice.key,
        "changed": sorted(changed),
    }
    return asked, {"rows": earlier.spec["rows"], "replay": said}


def plan_replay(workload: Workload, site: Site, run: Run) -> Plan:
    """Plan the replay that `run.spec["replay"]` describes, from the earlier run's files. Sends nothing.

    `workload` is the one to ask now. SpecError when the earlier run cannot be replayed, or no dead letter fits
    the choice; InputError when the new texts cannot be made of its rows.
    """
    said = run.spec["replay"]
    earlier = earlier_run(workload, site, said["of"])
    choice = Choice(outcomes=tuple(said["outcomes"]), codes=tuple(said["codes"]), key=said["key"])
    with tempfile.TemporaryDirectory(prefix="offpeak-replay-") as place, ExitStack() as stack:
        files = Earlier(
            work=Path(place),
            **{
                name.partition(".")[0]: stack.enter_context(
                    site.store.reading(f"{earlier.facts['folder']}/{name}")
                )
                for name in ("rows.parquet", "plan.parquet", STAGED, DEAD_LETTERS)
            },
        )
        sql = stack.enter_context(files_sql(files.work))
        if not _choose(sql, files, choice):
            raise SpecError(_none_fit(earlier))
        again = texts_again(workload, earlier, frozenset(said["changed"]))
        spooled = write_rows_again(again, site, files, earlier)
        _mark(sql, files)
        carry(workload, site, files.work, wanted=files.work / "wanted.parquet")
        _carry_the_rest(sql, files, workload)
        _decide(sql, files.work)
        plan = write_plan(workload, site, run, spooled, _first_bad(sql))
        _keep(sql, files, workload)
        site.store.put(files.work / "kept.parquet", f"{plan.folder}/{KEPT}")
    return replace(plan, replay_of=earlier.run_id)


def _none_fit(earlier: Run) -> str:
    there = ", ".join(
        f"{count:,} {outcome}"
        for outcome, count in earlier.facts["outcomes"].items()
        if outcome not in ("answered", "duplicate")
    )
    return (
        f"No dead letter of run {earlier.run_id} that could be asked fits the choice. It has {there or 'none'}; a "
        "row that was never a request (unreadable, without a key, null in the prompt) is put right in its source "
        "and asked by the next run. Nothing was sent."
    )


def _choose(sql: duckdb.DuckDBPyConnection, files: Earlier, choice: Choice) -> int:
    """`earlier`: every row with its decision, and whether it is asked again; chosen.parquet has only that.

    Rows that say the same are one request, so all of them are chosen with one. Returns their number.
    """
    sql.execute(
        f"""CREATE TABLE letters AS
            SELECT fingerprint, bool_or({choice.condition}) AS chosen FROM {files.sql("dead_letters")}
            WHERE fingerprint IS NOT NULL AND outcome <> 'duplicate' GROUP BY fingerprint"""
    )
    sql.execute(
        f"""CREATE TABLE earlier AS
            SELECT r._ordinal, r._fingerprint, p.decision, l.fingerprint IS NOT NULL AS dead,
                   coalesce(l.chosen, false) AS chosen
            FROM {files.sql("rows")} r JOIN {files.sql("plan")} p USING (_ordinal)
            LEFT JOIN letters l
                   ON p.decision IN ('ask', 'fold', 'keep') AND r._fingerprint = l.fingerprint"""
    )
    sql.execute(
        f"""COPY (SELECT chosen FROM earlier ORDER BY _ordinal)
            TO {literal(files.work / "chosen.parquet")} (FORMAT parquet)"""
    )
    ((count,),) = sql.execute("SELECT count(*) FROM earlier WHERE chosen").fetchall()
    return int(count)


def _mark(sql: duckdb.DuckDBPyConnection, files: Earlier) -> None:
    """`marks`: of what kind each row is; `folds`: what several of them ask alike; wanted.parquet: what is asked
    unless it was answered before."""
    sql.execute(
        f"""CREATE TABLE asked AS
            SELECT DISTINCT r._fingerprint FROM {files.made("rows.parquet")} r JOIN earlier e USING (_ordinal)
            WHERE e.chosen"""
    )
    sql.execute(
        f"""CREATE TABLE marks AS
            SELECT _ordinal, r._fingerprint,
                   CASE WHEN e.decision IN ('bad', 'duplicate') THEN e.decision
                        WHEN e.dead AND NOT e.chosen AND a._fingerprint IS NULL THEN 'keep'
                        ELSE 'good' END AS kind
            FROM {files.made("rows.parquet")} r JOIN earlier e USING (_ordinal)
            LEFT JOIN asked a ON r._fingerprint = a._fingerprint"""
    )
    sql.execute(
        """CREATE VIEW folds AS
           SELECT _fingerprint, min(_ordinal) AS first FROM marks WHERE kind = 'good'
           GROUP BY _fingerprint HAVING count(*) > 1"""
    )
    sql.execute(
        f"""COPY (SELECT _fingerprint FROM asked
                  ANTI JOIN (SELECT _fingerprint FROM {files.sql("staged")} WHERE _outcome = 'answered') s
                  USING (_fingerprint))
            TO {literal(files.work / "wanted.parquet")} (FORMAT parquet)"""
    )


def _decide(sql: duckdb.DuckDBPyConnection, work: Path) -> None:
    """Write plan.parquet (see decisions.py) from `marks`, `folds` and carried.parquet."""
    sql.execute(
        f"""COPY (
              SELECT m._ordinal,
                     CASE WHEN m.kind <> 'good' THEN m.kind
                          WHEN c._fingerprint IS NOT NULL THEN 'carry'
                          WHEN f.first < m._ordinal THEN 'fold' ELSE 'ask' END AS decision
              FROM marks m
              LEFT JOIN (SELECT DISTINCT _fingerprint FROM read_parquet({literal(work / "carried.parquet")})) c
                     ON m.kind = 'good' AND m._fingerprint = c._fingerprint
              LEFT JOIN folds f ON m.kind = 'good' AND m._fingerprint = f._fingerprint
              ORDER BY m._ordinal
            ) TO {literal(work / "plan.parquet")} (FORMAT parquet)"""
    )


def _first_bad(sql: duckdb.DuckDBPyConnection) -> list[int]:
    found = sql.execute(
        f"""SELECT _ordinal FROM marks WHERE kind IN ('bad', 'duplicate')
            ORDER BY _ordinal LIMIT {EXAMPLES}"""
    ).fetchall()
    return [ordinal for (ordinal,) in found]


def _carry_the_rest(sql: duckdb.DuckDBPyConnection, files: Earlier, workload: Workload) -> None:
    """Add the answers that the earlier run has to carried.parquet."""
    import pyarrow.parquet as pq

    layout = layout_of(workload, pq.read_schema(files.rows))
    columns = ", ".join(quoted(name) for name in carried_schema(layout).names)
    paid = (files.work / "carried.parquet").rename(files.work / "paid.parquet")
    sql.execute(
        f"""COPY (SELECT {columns} FROM {files.made(paid.name)}
                  UNION ALL BY NAME
                  SELECT {columns} FROM {files.sql("staged")} WHERE _outcome = 'answered'
                  QUALIFY row_number() OVER (PARTITION BY _fingerprint) = 1)
            TO {literal(files.work / "carried.parquet")} (FORMAT parquet)"""
    )


def _keep(sql: duckdb.DuckDBPyConnection, files: Earlier, workload: Workload) -> None:
    """kept.parquet: how the dead letters ended that are not asked, as a file of results that cost nothing more."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = result_schema(workload)
    reader = sql.sql(
        f"""SELECT s.* EXCLUDE (_outcome, _cost_usd), d.outcome AS _outcome, 0::DECIMAL(18, 9) AS _cost_usd,
                   d.rounds AS _round, d.code AS _code, d.reason AS _reason, d.raw AS _raw
            FROM {files.sql("dead_letters")} d JOIN {files.sql("staged")} s ON s._fingerprint = d.fingerprint
            SEMI JOIN (SELECT _fingerprint FROM marks WHERE kind = 'keep') k ON k._fingerprint = d.fingerprint
            WHERE d.outcome <> 'duplicate'
            QUALIFY row_number() OVER (PARTITION BY d.fingerprint) = 1"""
    ).to_arrow_reader(4_096)
    with pq.ParquetWriter(files.work / "kept.parquet", schema, compression="zstd") as writer:
        for batch in reader:
            columns = [_held(batch.column(field.name), field.type) for field in schema]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _held(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column as results files hold it."""
    import pyarrow as pa

    return (
        as_bytes(column, kind.byte_width // 4) if pa.types.is_fixed_size_binary(kind) else column.cast(kind)
    )

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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from offpeak.arrays import text
from offpeak.canary import canary_requests
from offpeak.carry import LOOK_BACK_RUNS, carry, carry_nothing
from offpeak.decisions import Marks, decide, decisions, mark
from offpeak.errors import InputError, SpecError
from offpeak.lines import Lines
from offpeak.overlap import ahead
from offpeak.quota import Quota
from offpeak.row_files import Rows, RowsAt
from offpeak.shards import Cut, ShardFile, ShardWriter
from offpeak.site import account_of
from offpeak.spool import Spooled, gather, opening_of, spool
from offpeak.states import RunState

if TYPE_CHECKING:
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


class Reading(NamedTuple):
    """How the rows of a run are read."""

    limit: int | None = None
    """So many of them at most."""
    again: bool = False
    """Whether even what was answered before is asked."""
    shares: Sequence[Path] = ()
    """Spools of the source's shares, made by other tasks; without any the source itself is read."""


WHOLE = Reading()


def make_plan(workload: Workload, site: Site, run: Run, interval: Interval, reading: Reading = WHOLE) -> Plan:
    """Read the rows and write the run's files. Sends nothing and leaves the ledger alone.

    Raises InputError for rows that cannot be read or when more than the workload's `max_failed` of them are bad.
    """
    with tempfile.TemporaryDirectory(prefix="offpeak-plan-") as place:
        work = Path(place)
        if reading.shares:
            spooled = gather(workload, reading.shares, work / "rows.parquet")
        else:
            opening = opening_of(workload, site, interval)
            spooled = spool(workload, opening, work / "rows.parquet", reading.limit)
        marks = mark(spooled.path, workload.rows.key, spooled.rows, work)
        _refuse_too_many_bad(workload, spooled, marks)
        if reading.again:
            carry_nothing(workload, work)
        else:
            carry(workload, site, work, wanted=spooled.path)
        decide(marks, work / "carried.parquet", work / "plan.parquet", work)
        return write_plan(workload, site, run, spooled, marks.first_bad)


def write_plan(workload: Workload, site: Site, run: Run, spooled: Spooled, first_bad: Sequence[int]) -> Plan:
    """Cut the shards and put everything into the store. rows.parquet, plan.parquet and carried.parquet lie in one
    folder; `first_bad` are a few of the rows that cannot be asked."""
    # two planners of one run never share a folder: the ledger decides whose plan counts
    folder, work = f"{run_folder(run)}/plan-{secrets.token_hex(3)}", spooled.path.parent
    counts = decisions(work / "plan.parquet")
    canary = _canary(workload, site, run, counts["ask"])
    shards = _write_shards(workload, site, work, folder, canary)
    plan = Plan(
        folder=folder,
        rows=spooled.rows,
        asked=counts["ask"],
        folded=counts["fold"],
        carried=counts["carry"],
        bad=counts["bad"] + counts["duplicate"],
        kept=counts["keep"],
        shards=shards,
        canary=canary is not None,
        key_type=spooled.key_type,
        bad_examples=tuple(_examples(spooled, first_bad)),
    )
    for name in ("rows.parquet", "plan.parquet", "carried.parquet"):
        site.store.put(work / name, f"{folder}/{name}")
    return plan


def run_folder(run: Run) -> str:
    """The run's folder in the store."""
    return f"runs/{run.workload}/{run.interval_key}~{run.edition}"


def _refuse_too_many_bad(workload: Workload, spooled: Spooled, marks: Marks) -> None:
    bad = spooled.rows - marks.counts["good"]
    if not bad or bad <= workload.max_failed * spooled.rows:
        return
    listed = "".join(f"\n  - {line}" for line in _examples(spooled, marks.first_bad))
    raise InputError(
        f"Workload {workload.name}: {bad:,} of {spooled.rows:,} rows cannot be asked, more than its "
        f"max_failed={workload.max_failed:g} allows. Nothing was sent. The first of them:{listed}\n"
        "Correct the rows, or raise max_failed to go on with them as dead letters."
    )


def _examples(spooled: Spooled, rows: Sequence[int]) -> Iterator[str]:
    """What is wrong with these rows, a line for each."""
    import numpy as np

    names = ["_origin", "_number", spooled.key, "_problem"]
    for found in RowsAt(spooled.path, names).take(np.array(rows, np.int64)).to_pylist():
        origin, number, key, problem = (found[name] for name in names)
        of_key = "" if key is None else f", key {key}"
        reason = problem or "the key was already used by an earlier row; keys must be unique"
        yield f"{origin}, {spooled.unit} {number}{of_key}: {reason}"


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


def _canary(workload: Workload, site: Site, run: Run, asked: int) -> int | None:
    published = site.ledger.runs(workload.name, states=(RunState.PUBLISHED,), limit=LOOK_BACK_RUNS)
    known = any(one.spec.get("asks") == run.spec.get("asks") for one in published)
    return canary_requests(workload.canary, asked=asked, is_new=not known)

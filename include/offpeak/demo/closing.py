"""What the demo says at its end: the table, the verdict, the labels, the money, the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.cli.screen import show_table, usd
from offpeak.demo.samples import Sample, right_shares
from offpeak.progress import summary

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.demo.screen import StatusLine
    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload

ROWS_SHOWN = 10


def close(workload: Workload, site: Site, run: Run, sample: Sample, line: StatusLine) -> None:
    """Say what was made of a published run."""
    facts = summary(site, run.run_id)
    table = _published(workload, site, int(facts["table_rows"]))
    line.say(f"\nThe table: {facts['table']} ({facts['table_rows']:,} rows: {_counts(facts['outcomes'])})\n")
    shown = [name for name in table.column_names if not name.startswith("_")] + ["_outcome"]
    show_table(table.slice(0, ROWS_SHOWN), shown)
    for part in (_verdict(run), _labels(workload, site, table, sample), _money(workload, facts)):
        line.say("\n" + "\n".join(part))
    line.say(f"\nThe report: {facts['report']}")


def _published(workload: Workload, site: Site, rows: int) -> pa.Table:
    table = workload.into.open(site.store, site.connections)
    try:
        return table.head(rows)
    finally:
        table.close()


def _verdict(run: Run) -> Iterator[str]:
    verdict: dict[str, Any] = run.facts["verdict"]
    yield f"The verdict of the checks: {verdict['decision']} (Great Expectations {verdict['gx_version']})"
    for check in verdict["checks"]:
        yield f"  {'ok' if check['success'] else 'NO'}  {check['sentence']}"


def _labels(workload: Workload, site: Site, table: pa.Table, sample: Sample) -> Iterator[str]:
    import pyarrow.parquet as pq

    truth = pq.read_table(Path(site.store.root) / sample.labels).to_pylist()
    shares = right_shares(table.to_pylist(), truth, workload.rows.key)
    told = ", ".join(f"{name} {share:.1%} right" for name, share in shares.items())
    yield f"Against the known labels of {len(truth):,} rows: {told}."
    yield f"  A stand-in that matches words gave the answers: this says nothing about {workload.model}."


def _money(workload: Workload, facts: dict[str, Any]) -> Iterator[str]:
    money = facts["cost_usd"]
    if not facts["requests"]:
        yield (
            f"Nothing was asked again and nothing was spent: all {facts['rows']:,} rows were answered by the "
            "published table or by another row."
        )
        return
    batches = "1 batch" if facts["batches"] == 1 else f"{facts['batches']} batches"
    yield (
        f"{facts['requests']:,} requests for {facts['rows']:,} rows ({facts['folded']:,} alike, "
        f"{facts['carried']:,} answered before) in {batches}: "
        f"{usd(money['actual'])}; the same in realtime: {usd(money['realtime'])}."
    )
    yield f"  Simulated money: the real prices of {workload.model}, but the emulator's tokens. Nothing was paid."


def _counts(outcomes: dict[str, int]) -> str:
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(outcomes.items(), key=lambda item: -item[1])
    )

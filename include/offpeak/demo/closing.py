"""What the demo says at the end of a night: the table, the verdict, the labels, the money, the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
SIMULATED = "  Simulated money: real prices, but the emulator's tokens. Nothing was paid."


def close(dag_file: Path, site: Site, runs: Sequence[Run], sample: Sample, line: StatusLine) -> None:
    """Say what was made of the published runs of one dag run, the latest first."""
    from offpeak.dag_files import load_named

    now = [site.ledger.run(run.run_id) for run in runs]
    # of a pipeline the stage that ends it, which keeps what the last step said
    last = next((run for run in now if "finished_said" in run.facts), now[0])
    facts = summary(site, last.run_id)
    workload = load_named(str(dag_file), last.workload)
    table = _published(workload, site, int(facts["table_rows"]))
    line.say(f"\nThe table: {facts['table']} ({facts['table_rows']:,} rows: {_counts(facts['outcomes'])})\n")
    own = sample.shown or [name for name in table.column_names if not name.startswith("_")]
    shown = [*own, "_outcome"]
    show_table(table.slice(0, ROWS_SHOWN), shown)
    parts = [_verdict(last), _labels(workload, site, table, sample)]
    parts += [_money(run, summary(site, run.run_id)) for run in reversed(now)]
    parts.append(iter([SIMULATED]) if any(run.facts["requests"] for run in now) else iter(()))
    for part in parts:
        if text := "\n".join(part):
            line.say("\n" + text)
    for told in last.facts.get("finished_said", ()):
        line.say(told)
    line.say(f"\nThe report: {facts['report']}")


def _published(workload: Workload, site: Site, rows: int) -> pa.Table:
    table = workload.into.open(site.store, site.connections)
    try:
        return table.head(rows)
    finally:
        table.close()


def _verdict(run: Run) -> Iterator[str]:
    verdict: dict[str, Any] = run.facts["verdict"]
    if not verdict["checks"]:
        yield "There were no rows to check."
        return
    yield f"The verdict of the checks: {verdict['decision']} (Great Expectations {verdict['gx_version']})"
    for check in verdict["checks"]:
        yield f"  {'ok' if check['success'] else 'NO'}  {check['sentence']}"


def _labels(workload: Workload, site: Site, table: pa.Table, sample: Sample) -> Iterator[str]:
    import pyarrow.parquet as pq

    if not sample.labels:
        return
    truth = pq.read_table(Path(site.store.root) / sample.labels).to_pylist()
    shares = right_shares(table.to_pylist(), truth, workload.rows.key)
    told = ", ".join(f"{name} {share:.1%} right" for name, share in shares.items())
    yield f"Against the known labels of {len(truth):,} rows: {told}."
    yield f"  A stand-in that matches words gave the answers: this says nothing about {workload.model}."


def _money(run: Run, facts: dict[str, Any]) -> Iterator[str]:
    money, name = facts["cost_usd"], f"{facts['workload']}: "
    if not facts["rows"]:
        yield f"{name}there were no rows for it this time."
        return
    if not facts["requests"]:
        yield (
            f"{name}Nothing was asked again and nothing was spent: all {facts['rows']:,} rows were answered by the "
            "published table or by another row."
        )
        return
    batches = "1 batch" if facts["batches"] == 1 else f"{facts['batches']} batches"
    yield (
        f"{name}{facts['requests']:,} requests for {facts['rows']:,} rows ({facts['folded']:,} alike, "
        f"{facts['carried']:,} answered before) in {batches}: "
        f"{usd(money['actual'])} at the prices of {run.model}; the same in realtime: {usd(money['realtime'])}."
    )


def _counts(outcomes: dict[str, int]) -> str:
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(outcomes.items(), key=lambda item: -item[1])
    )

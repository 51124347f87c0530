"""The tables of docs/performance.md, from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.bench.contenders import OURS, PARTS
from tests.bench.goals import reached
from tests.bench.record import Record, records

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
TITLES = {
    "build": "Build: rows to request files",
    "chat": "Collect: OpenAI chat results to answers",
    "anthropic": "Collect: Anthropic results to answers",
    "floats": "Collect: embeddings of 1,536 floats, as numbers",
    "base64": "Collect: embeddings of 1,536 floats, as base64",
    "whole": "Whole runs through the command line",
    "polling": "Polling",
    "startup": "Start-up",
    "airflow": "On Airflow",
}
THROUGHPUT = (
    *("contender", "rows/s", "s", "CPU s", "peak MB", "at start MB", "written MB"),
    *("× time", "× CPU"),
)


def lines_of(record: Record) -> list[str]:
    """The table of one part at one size, under a line that says what it is of."""
    shape = {"whole": _nights, "polling": _polling, "startup": _startup, "airflow": _airflow}
    head, *rows = shape.get(record.part, _throughput)(record)
    of = {"polling": f"{record.rows:,} batches, ", "startup": "", "airflow": ""}
    turns = "measured once" if record.repeat == 1 else f"median of {record.repeat}"
    return [
        f"{of.get(record.part, f'{record.rows:,} rows, ')}{turns}, {record.date}",
        "",
        _row(head),
        _row(["---", *["---:"] * (len(head) - 1)]),
        *(_row(row) for row in rows),
    ]


Rows = Iterable[Sequence[str]]
"""The head, then the rows."""


def _throughput(record: Record) -> Rows:
    """`×` is how many times as fast, or of how many times less CPU, ours is."""
    ours = record.line(OURS)
    assert ours is not None, f"{record.part} was measured without us"
    yield THROUGHPUT
    for one in record.lines:
        yield (
            one.contender,
            f"{record.rows / max(one.wall_seconds, 0.001):,.0f}",
            f"{one.wall_seconds:,.2f}",
            f"{one.cpu_seconds:,.2f}",
            f"{one.peak_mb:,.0f}",
            f"{one.imports_mb:,.0f}",
            f"{one.written_mb:,.0f}",
            _times(one.wall_seconds, ours.wall_seconds),
            _times(one.cpu_seconds, ours.cpu_seconds),
        )


def _times(theirs: float, ours: float) -> str:
    ratio = theirs / max(ours, 0.001)
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}"


def _nights(record: Record) -> Rows:
    yield ("night", "changed rows", "requests", "s", "own CPU s", "emulator's CPU s", "peak MB")
    (ours,) = record.lines
    for name, said in (("first", "first: every row is new"), ("second", "second: 3 % of the rows changed")):
        yield (
            said,
            f"{record.rows if name == 'first' else ours.extra['changed_rows']:,.0f}",
            f"{ours.extra[f'{name}_requests']:,.0f}",
            f"{ours.extra[f'{name}_wall_seconds']:,.1f}",
            f"{ours.extra[f'{name}_cpu_seconds']:,.1f}",
            f"{ours.extra[f'{name}_emulator_cpu_seconds']:,.1f}",
            f"{ours.extra[f'{name}_peak_mb']:,.0f}",
        )


def _polling(record: Record) -> Rows:
    yield (
        "contender",
        "% of a core",
        "GETs/s",
        "most that the loop was late, s",
        "last batch noticed after, s",
        "peak MB",
    )
    for one in record.lines:
        yield (
            one.contender,
            f"{100 * one.extra['cpu_share']:.1f}",
            f"{one.extra['gets_per_second']:.1f}",
            f"{one.extra['loop_lag_seconds']:.2f}",
            f"{one.extra['noticed_last_seconds']:.1f}",
            f"{one.peak_mb:,.0f}",
        )


def _startup(record: Record) -> Rows:
    yield ("what", "s", "CPU s")
    for one in record.lines:
        name = "offpeak --help" if one.contender == OURS else one.contender
        yield (name, f"{one.wall_seconds:.3f}", f"{one.cpu_seconds:.3f}")


def _airflow(record: Record) -> Rows:
    (ours,) = record.lines
    yield ("from the last batch's end to", "median s", "least s", "most s")
    for name, said in (("noticed", "the first shard collected"), ("published", "the table published")):
        yield (said, *(f"{ours.extra[f'{name}_{how}_seconds']:.1f}" for how in ("median", "least", "most")))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def rendered(found: Sequence[Record]) -> str:
    """All that stands between the markers."""
    if not found:
        return "Nothing was measured yet: run `make bench`."
    parts = [name for name in PARTS if any(one.part == name for one in found)]
    blocks = []
    for part in parts:
        tables = [lines_of(one) for one in found if one.part == part]
        blocks.append("\n\n".join([f"### {TITLES[part]}", *("\n".join(table) for table in tables)]))
    return "\n\n".join([_goals(found), *blocks, *_measured_on(found)])


def _goals(found: Sequence[Record]) -> str:
    rows = [(one.what, one.goal, one.reached, "yes" if one.met else "no") for one in reached(found)]
    head = ("of", "goal", "reached", "met")
    lines = [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]
    return "\n".join(["### Goals", "", *lines])


def _measured_on(found: Sequence[Record]) -> list[str]:
    return [f"Measured on: {said}." for said in sorted({f"{one.machine}; {one.versions}" for one in found})]


def write_page(page: Path = PAGE, found: Sequence[Record] | None = None) -> None:
    """Put the tables between the page's markers; what stands around them is left as it is."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{page.name} has no {BEGIN} ... {END}"
    made = rendered(records() if found is None else found)
    page.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")

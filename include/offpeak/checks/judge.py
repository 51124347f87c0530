"""Judge the staged result of a run: every check of the suite, in bounded memory, into one verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.checks import sentence
from offpeak.checks.catalogue import Kind
from offpeak.checks.engine import Engine, Finding
from offpeak.checks.expectation import Check, problems
from offpeak.checks.plain import jsonable
from offpeak.checks.slices import SLICE_ROWS, Gaps, StagedFile, frame
from offpeak.checks.verdict import EXAMPLES, CheckResult, Example, Verdict, decide

if TYPE_CHECKING:
    import pyarrow as pa

_ONE_AT_A_TIME = threading.Lock()
"""Great Expectations keeps its context for the whole process, and the stages of a pipeline end side by side."""
_GAPS: dict[Kind, Gaps] = {"slices": "objects", "numbers": "floats", "hashed": "objects", "whole": "nullable"}


@dataclass(slots=True, kw_only=True)
class _Tally:
    """One check while its slices are judged; counts are added, examples kept up to the limit."""

    check: Check
    how: str = ""
    rows: int = 0
    valued: int = 0
    unexpected: int = 0
    examples: list[Example] = field(default_factory=list)
    last: Finding | None = None

    @property
    def error(self) -> str:
        return self.last.error if self.last else ""

    def add(self, finding: Finding, table: pa.Table | None, key: str) -> None:
        self.last = finding
        if finding.error or "element_count" not in finding.result:
            return
        rows = finding.result["element_count"]
        self.rows += rows
        self.valued += rows - (finding.result.get("missing_count") or 0)
        self.unexpected += finding.result["unexpected_count"]
        if table is not None:
            room = EXAMPLES - len(self.examples)
            indices = finding.result.get("partial_unexpected_index_list") or []
            self.examples += _examples(table, indices[:room], key, self.check.expectation.columns)


def judge(staged: Path, suite: Sequence[Check], *, key: str, slice_rows: int = SLICE_ROWS) -> Verdict:
    """The verdict on `staged`, results in the order of `suite`.

    Memory is bounded by `slice_rows`, except that a check which needs a whole column gets that column.
    Raises CheckBroken when the file itself cannot be read; a single check that breaks is in the verdict.
    """
    with _ONE_AT_A_TIME:
        return _judge(staged, suite, key, slice_rows)


def _judge(staged: Path, suite: Sequence[Check], key: str, slice_rows: int) -> Verdict:
    started = time.monotonic()
    file = StagedFile.open(staged, key)
    work = _Judging(file=file, engine=Engine(), slice_rows=slice_rows)
    tallies = [_Tally(check=check) for check in suite]
    for group in _groups(tallies, file):
        work.run(group)
    results = tuple(_result(tally, key) for tally in tallies)
    return Verdict(
        decision=decide(results),
        checks=results,
        seconds=round(time.monotonic() - started, 3),
        gx_version=work.engine.version,
        judged_rows=file.rows,
    )


def _groups(tallies: Sequence[_Tally], file: StagedFile) -> Iterator[list[_Tally]]:
    """Tallies that can share their slices; one that cannot be judged gets its error here and is left out."""
    types = file.types()
    able = []
    for tally in tallies:
        found = problems([tally.check.expectation], types)
        if found:
            tally.last, tally.how = Finding(error=" ".join(found)), "not judged"
        else:
            able.append(tally)

    def together(tally: _Tally) -> tuple[str, ...]:
        expectation = tally.check.expectation
        alone = expectation.columns if expectation.kind in {"hashed", "whole"} else ()
        return expectation.kind, str(tally.check.answered_only), *alone

    for _, group in groupby(sorted(able, key=together), key=together):
        yield list(group)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judging:
    """One file and one engine at work."""

    file: StagedFile
    engine: Engine
    slice_rows: int

    def run(self, group: list[_Tally]) -> None:
        """Judge a group that shares kind, rows and (where it matters) columns."""
        kind, answered_only = group[0].check.expectation.kind, group[0].check.answered_only
        columns = tuple(dict.fromkeys(name for one in group for name in one.check.expectation.columns))
        rows = self.file.count(answered_only=answered_only)
        for tally in group:
            tally.how = f"{'answered' if answered_only else 'all'} rows: {self._how(kind, len(columns))}"
        if kind == "rows":
            self._once(group, rows=rows)
        elif kind == "columns":
            self._once(group, rows=None)
        elif rows:
            for table in self._tables(kind, columns, answered_only):
                self._slice(group, table, columns)

    def _how(self, kind: Kind, columns: int) -> str:
        if kind == "rows":
            return "their number"
        if kind == "columns":
            return "names and types of the columns"
        if kind == "hashed":
            return f"slices of about {self.slice_rows:,} rows by hash, so that equal values meet"
        if kind == "whole":
            return "one column whole" if columns == 1 else f"{columns} columns whole"
        return f"slices of {self.slice_rows:,} rows"

    def _tables(self, kind: Kind, columns: tuple[str, ...], answered_only: bool) -> Iterator[pa.Table]:
        if kind == "whole":
            yield self.file.whole(columns, answered_only=answered_only)
            return
        read = self.file.hashed if kind == "hashed" else self.file.slices
        yield from read(columns, answered_only=answered_only, rows=self.slice_rows)

    def _slice(self, group: Sequence[_Tally], table: pa.Table, columns: tuple[str, ...]) -> None:
        going = [tally for tally in group if not tally.error]
        if not going or not table.num_rows:
            return
        pandas = frame(table, columns, _GAPS[going[0].check.expectation.kind])
        findings = self.engine.judge(pandas, [tally.check.expectation for tally in going])
        for tally, finding in zip(going, findings, strict=True):
            tally.add(finding, table, self.file.key)

    def _once(self, group: Sequence[_Tally], *, rows: int | None) -> None:
        """On a frame without columns (a range as its index takes no memory) or without rows."""
        import pandas as pd

        empty = (
            pd.DataFrame(index=pd.RangeIndex(rows))
            if rows is not None
            else self.file.schema.empty_table().to_pandas()
        )
        findings = self.engine.judge(empty, [tally.check.expectation for tally in group])
        for tally, finding in zip(group, findings, strict=True):
            tally.add(finding, None, self.file.key)


def _examples(table: pa.Table, indices: Sequence[int], key: str, columns: Sequence[str]) -> Iterator[Example]:
    for index in indices:
        values = {name: jsonable(table.column(name)[index].as_py()) for name in columns}
        value = next(iter(values.values())) if len(values) == 1 else values
        yield Example(jsonable(table.column(key)[index].as_py()), value)


def _result(tally: _Tally, key: str) -> CheckResult:
    check, finding = tally.check, tally.last
    expectation, examples = check.expectation, tuple(tally.examples)
    counted = finding is None or "element_count" in finding.result
    success, observed = tally.valued == 0, None
    if finding is None or (counted and expectation.own is None and not finding.error):
        success = success or (tally.valued - tally.unexpected) / tally.valued >= expectation.mostly
    else:
        success, observed = finding.success, _observed(finding.result)
    if tally.error:
        text = sentence.not_judged(check, tally.error)
    elif counted:
        counts = (tally.rows, tally.valued, tally.unexpected)
        text = sentence.judged_row_by_row(check, counts, key, examples)
    else:
        text = sentence.judged_at_once(check, success, observed)
    judged = counted and not tally.error
    return CheckResult(
        type=expectation.type,
        columns=expectation.columns,
        kwargs=jsonable(expectation.kwargs, whole=True),
        origin=check.origin,
        severity=expectation.severity,
        success=success,
        sentence=text,
        how=tally.how,
        observed=observed,
        element_count=tally.rows if judged else None,
        unexpected_count=tally.unexpected if judged else None,
        unexpected_percent=tally.unexpected / tally.valued * 100 if judged and tally.valued else None,
        examples=() if tally.error else examples,
        error=tally.error,
    )


def _observed(result: Mapping[str, Any]) -> Any:
    """The value found; where there is none, the values that should not be there."""
    value = result.get("observed_value")
    return jsonable(value if value is not None else result.get("partial_unexpected_list"))

"""The worst regressions, with their texts: read again from the published answers, for the few that are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.evals.cases import CASE, KEY, SAMPLE, split_key
from offpeak.evals.facts import Regression
from offpeak.evals.judge import METRIC
from offpeak.report.wording import cut
from offpeak.states import Outcome
from offpeak.tables.table import PROVENANCE

if TYPE_CHECKING:
    from offpeak.evals.finish import Work

TEXT_CHARACTERS = 700


def examples(work: Work, candidate: str, places: Iterable[int]) -> tuple[Regression, ...]:
    """The cases at these places, in this order, with the first sample of either side."""
    keys = {place: key for key, place in work.cases.places.items()}
    wanted = [keys[place] for place in places]
    if not wanted:
        return ()
    base = work.baseline.candidate.name
    ours, theirs = (_rows(work.files[name], set(wanted)) for name in (candidate, base))
    return tuple(_regression(work, candidate, key, ours.get(key), theirs.get(key)) for key in wanted)


def _rows(path: Path, wanted: set[str]) -> dict[str, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    keys = pa.array([f"{key}#1" for key in wanted])
    found = {}
    for batch in pq.ParquetFile(path).iter_batches():
        for row in batch.filter(pc.is_in(batch.column(KEY), keys)).to_pylist():
            found[split_key(row[KEY])[0]] = row
    return found


def _regression(
    work: Work, candidate: str, key: str, ours: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None
) -> Regression:
    metric, base = work.suite.metric, work.baseline.candidate.name
    case = orjson.loads((ours or theirs or {CASE: "{}"})[CASE])
    scorer = next((one for one in work.suite.metrics if one.name == metric), None)
    against = scorer.against if scorer is not None else ""
    prompted = set().union(
        *(template.columns or () for template in work.suite.stage(work.suite.candidate(candidate)).templates)
    )
    place = work.cases.places[key]
    lost = work.scored[base].scores[metric][place] - work.scored[candidate].scores[metric][place]
    judged = work.scored[candidate].judged if metric == METRIC else None
    return Regression(
        case=key,
        shown=cut("\n".join(str(case.get(name, "")) for name in sorted(prompted)), TEXT_CHARACTERS),
        expected=cut(_text(case.get(against)), TEXT_CHARACTERS) if against else "",
        baseline=cut(_answer(theirs), TEXT_CHARACTERS),
        candidate=cut(_answer(ours), TEXT_CHARACTERS),
        lost=float(lost),
        said=judged.reasons.get(key, "") if judged is not None else "",
    )


def _answer(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "(not asked)"
    if row["_outcome"] != Outcome.ANSWERED:
        return f"(no answer: {row['_outcome']})"
    own = {KEY, CASE, SAMPLE, *(name for name, _ in PROVENANCE)}
    answer = {name: value for name, value in row.items() if name not in own}
    return _text(answer["answer"] if set(answer) == {"answer"} else answer)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_text(one)}" for name, one in value.items())
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()

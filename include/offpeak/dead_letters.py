"""Dead letters: rows that ended without an answer, with why, and what is needed to ask them again."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.errors import SpecError
from offpeak.files_sql import files_sql, literal
from offpeak.letters import DEAD_LETTERS
from offpeak.states import Outcome
from offpeak.store import Store

if TYPE_CHECKING:
    from offpeak.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One row without an answer."""

    key: str | None
    """None for a record that could not be read."""
    outcome: str
    code: str | None
    reason: str | None
    raw: str | None
    """What the model or the provider said, as it came."""
    user: str | None
    """The user text that was, or would have been, sent."""
    origin: str
    number: int
    rounds: int | None
    fingerprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Some of a run's dead letters: those that fit everything given. SpecError for an outcome that is none."""

    outcomes: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    key: str = ""
    """A pattern over the key as text, with `*`, `?` and `[a-z]`, in which case counts."""

    def __post_init__(self) -> None:
        failed = [outcome.value for outcome in Outcome if outcome is not Outcome.ANSWERED]
        if wrong := [name for name in self.outcomes if name not in failed]:
            raise SpecError(
                f"{', '.join(map(repr, wrong))} is no outcome of a dead letter; there are {', '.join(failed)}."
            )

    @property
    def condition(self) -> str:
        """As SQL over the columns of the dead letters' file."""
        parts = ["true"]
        for column, values in (("outcome", self.outcomes), ("code", self.codes)):
            if values:
                parts.append(f"{column} IN ({', '.join(literal(value) for value in values)})")
        if self.key:
            parts.append(f"key GLOB {literal(self.key)}")
        return " AND ".join(parts)


ALL = Choice()


def dead_letters(site: Site, run_id: str, choice: Choice = ALL) -> Iterator[DeadLetter]:
    """The run's dead letters in the order of its rows. SpecError before the run was assembled."""
    names = list(DeadLetter.__dataclass_fields__)
    for record in _records(site, run_id, choice, names):
        yield DeadLetter(**record)


def export_dead_letters(site: Site, run_id: str, file: Path, choice: Choice = ALL) -> int:
    """Write them, with all their texts, to a `.jsonl`, `.csv` or `.parquet` file; returns their number.

    The file appears whole or not at all. SpecError for another ending, or before the run was assembled.
    """
    if file.suffix not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise SpecError(f"What {file.name!r} is to hold cannot be told from its name; end it with {known}.")
    if not file.parent.is_dir():
        raise SpecError(f"There is no folder {file.parent} to write {file.name} into; make it first.")
    with Store(str(file.parent)).writing(file.name) as path:
        return _WRITERS[file.suffix](
            path, _records(site, run_id, choice, [*DeadLetter.__dataclass_fields__, "system"])
        )


def letters_file(site: Site, run_id: str) -> str:
    """The name of the run's dead letters in the store. SpecError before the run was assembled."""
    run = site.ledger.run(run_id)
    name = f"{run.facts.get('folder')}/{DEAD_LETTERS}"
    if "dead_letters" not in run.facts or not site.store.exists(name):
        raise SpecError(
            f"Run {run_id} is {run.state}; its rows are not assembled yet, so it has no dead letters."
        )
    return name


def _records(site: Site, run_id: str, choice: Choice, names: list[str]) -> Iterator[dict[str, Any]]:
    with (
        site.store.reading(letters_file(site, run_id)) as path,
        tempfile.TemporaryDirectory(prefix="offpeak-letters-") as work,
        files_sql(Path(work)) as sql,
    ):
        query = f"SELECT {', '.join(names)} FROM read_parquet({literal(path)}) WHERE {choice.condition}"
        for batch in sql.sql(query).to_arrow_reader(1_000):
            yield from batch.to_pylist()


def _write_jsonl(path: Path, records: Iterator[dict[str, Any]]) -> int:
    count = 0
    with path.open("wb") as out:
        for record in records:
            out.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def _write_csv(path: Path, records: Iterator[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, [*DeadLetter.__dataclass_fields__, "system"])
        writer.writeheader()
        for record in records:
            writer.writerow(record)
            count += 1
    return count


def _write_parquet(path: Path, records: Iterator[dict[str, Any]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*DeadLetter.__dataclass_fields__, "system"]
    numbers = ("number", "rounds")
    schema = pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in names])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while chunk := list(islice(records, 1_000)):
            writer.write_batch(pa.RecordBatch.from_pylist(chunk, schema))
            count += len(chunk)
    return count


_WRITERS: dict[str, Callable[[Path, Iterator[dict[str, Any]]], int]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}

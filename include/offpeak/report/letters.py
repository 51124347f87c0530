"""Dead letters, as the report shows them: the commonest reasons and a few examples per outcome."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.files_sql import files_sql, literal
from offpeak.report.material import Material
from offpeak.report.wording import TEXT_CHARACTERS

if TYPE_CHECKING:
    import duckdb

    from offpeak.store import Store

SAMPLES = 5
CODES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter. Texts are cut at TEXT_CHARACTERS; the `_characters` are of the whole text."""

    key: str | None
    code: str
    reason: str
    reason_characters: int
    raw: str
    raw_characters: int
    rounds: int | None
    origin: str
    number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCount:
    code: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeLetters:
    """The dead letters of one outcome."""

    codes: tuple[CodeCount, ...]
    """The most frequent first, CODES at most."""
    samples: tuple[Letter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    by_outcome: Mapping[str, OutcomeLetters] = field(default_factory=dict)
    problem: str = ""


def letters(found: Material, store: Store) -> Letters:
    """Read what is shown of `dead_letters.parquet`, in bounded memory; a file that is not there or cannot
    be read is a `problem` in words, never an error."""
    import duckdb

    folder = found.fact("folder")
    if not folder or not found.count("dead_letters"):
        return Letters()
    name = f"{folder}/dead_letters.parquet"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="offpeak-report-") as place,
            store.reading(name) as path,
            files_sql(Path(place)) as sql,
        ):
            sql.execute(
                f"CREATE VIEW letters AS SELECT * FROM read_parquet({literal(path)}, file_row_number=true)"
            )
            return Letters(by_outcome=_read(sql))
    except (OSError, duckdb.Error) as error:
        return Letters(problem=f"{store.address(name)} could not be read ({type(error).__name__}).")


def _read(sql: duckdb.DuckDBPyConnection) -> dict[str, OutcomeLetters]:
    codes: dict[str, list[CodeCount]] = defaultdict(list)
    counted = sql.execute(
        """SELECT outcome, coalesce(code, ''), count(*) FROM letters GROUP BY ALL
           ORDER BY count(*) DESC, 1, 2"""
    )
    for outcome, code, count in counted.fetchall():
        if len(codes[outcome]) < CODES:
            codes[outcome].append(CodeCount(code=code, count=count))
    samples: dict[str, list[Letter]] = defaultdict(list)
    for outcome, *rest in _samples(sql):
        samples[outcome].append(_letter(rest))
    return {
        outcome: OutcomeLetters(codes=tuple(listed), samples=tuple(samples[outcome]))
        for outcome, listed in codes.items()
    }


def _samples(sql: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    def beginning(column: str) -> str:
        return f"left({column}, {TEXT_CHARACTERS}), length({column})"

    # the rows are chosen before any text is read
    return sql.execute(
        f"""SELECT outcome, left(key, {TEXT_CHARACTERS}), code, {beginning("reason")}, {beginning("raw")},
                   rounds, origin, number
            FROM letters
            WHERE file_row_number IN (
                SELECT unnest(min(file_row_number, {SAMPLES})) FROM letters GROUP BY outcome)
            ORDER BY file_row_number"""
    ).fetchall()


def _letter(row: list[Any]) -> Letter:
    key, code, reason, reason_characters, raw, raw_characters, rounds, origin, number = row
    return Letter(
        key=key,
        code=code or "",
        reason=reason or "",
        reason_characters=reason_characters or 0,
        raw=raw or "",
        raw_characters=raw_characters or 0,
        rounds=rounds,
        origin=origin or "",
        number=number,
    )

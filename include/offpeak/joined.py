"""Joining: where the last result of each row's request is, or its carried answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.files_sql import literal, quoted

if TYPE_CHECKING:
    import duckdb

ORDINAL, FILE, PLACE = "_ordinal", "_file", "_place"
"""The number of a row, and where its result is: the number of the file and of the row in it, -1 for none. Names with
a `_` first are reserved."""
SUMMED = ("_cost_usd", "_input_tokens", "_output_tokens")
"""What a request took over all rounds, where it had more than one."""
DEAD_COLUMNS = (ORDINAL, "_decision", "_outcome")


def open_files(sql: duckdb.DuckDBPyConnection, files: Mapping[str, Path], results: Sequence[Path]) -> None:
    """The views `rows`, `plan`, `carried`, `results` and `latest`, which is the last result of each request.

    `results` and `carried` say of each row where it is: `_file`, counted through `results` and then the
    carried, and `_place` in it.
    """
    for name in ("rows", "plan"):
        sql.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({literal(files[name])})")
    sql.execute(f"CREATE VIEW carried AS {_located([files['carried']], len(results))}")
    sql.execute(f"CREATE VIEW results AS {_located(results, 0)}")
    # most requests have one result: only those of later rounds are grouped
    sql.execute(
        """CREATE TABLE asked_again AS
           SELECT _fingerprint, sum(_cost_usd)::DECIMAL(18, 9) AS _cost_usd,
                  sum(_input_tokens)::BIGINT AS _input_tokens, sum(_output_tokens)::BIGINT AS _output_tokens
           FROM results SEMI JOIN (SELECT _fingerprint FROM results WHERE _round > 1) USING (_fingerprint)
           GROUP BY _fingerprint"""
    )
    sql.execute(
        """CREATE VIEW latest AS
           SELECT * FROM results ANTI JOIN asked_again USING (_fingerprint)
           UNION ALL BY NAME
           SELECT * FROM results SEMI JOIN asked_again USING (_fingerprint)
           QUALIFY row_number() OVER (PARTITION BY _fingerprint ORDER BY _round DESC) = 1"""
    )


def _located(paths: Sequence[Path], first: int) -> str:
    listed = ", ".join(literal(path) for path in paths)
    return f"""SELECT *, file_index + {first} AS {FILE}, file_row_number AS {PLACE}
               FROM read_parquet([{listed}])"""


def places(sql: duckdb.DuckDBPyConnection, key: str) -> int:
    """How many rows belong into the table, whatever came back: those with a key of their own."""
    ((count,),) = sql.execute(
        f"""SELECT count(*) FROM rows r POSITIONAL JOIN (SELECT decision FROM plan) p
            WHERE p.decision <> 'duplicate' AND r.{quoted(key)} IS NOT NULL"""
    ).fetchall()
    return int(count)


def places_query(*, carries: bool) -> str:
    """For every row, in the order of the input: ORDINAL, FILE and PLACE of its result or carried answer, SUMMED.

    Nothing wide, so that a million rows are joined and sorted in memory. Unless the run `carries` nothing is
    looked for there.
    """
    at = [
        f"coalesce(l.{name}, {f'c.{name}, ' if carries else ''}-1)::BIGINT AS {name}"
        for name in (FILE, PLACE)
    ]
    summed = (f"a.{name}" for name in SUMMED)
    carried = "LEFT JOIN carried c ON p.decision = 'carry' AND r._fingerprint = c._fingerprint"
    return f"""SELECT r.{ORDINAL}, {", ".join((*at, *summed))}
               FROM rows r POSITIONAL JOIN (SELECT decision FROM plan) p
               LEFT JOIN latest l ON p.{_ASKED} AND r._fingerprint = l._fingerprint
               LEFT JOIN asked_again a ON p.{_ASKED} AND r._fingerprint = a._fingerprint
               {carried if carries else ""} ORDER BY r.{ORDINAL}"""


def dead_letters_query(key: str, dead: Path) -> str:
    """The rows named in the file `dead` (of DEAD_COLUMNS), with what is needed to look into each and to ask again."""
    # the file names few of many rows: only for those are the wide columns read
    return f"""SELECT r.{quoted(key)}::VARCHAR AS key, r._fingerprint AS fingerprint, p._outcome AS outcome,
                      l._code AS code,
                      CASE p._decision WHEN 'duplicate' THEN
                               coalesce(r._problem, 'the key was already used by an earlier row of this run')
                           ELSE coalesce(r._problem, l._reason) END AS reason,
                      l._round AS rounds, l._raw AS raw, r._system AS system, r._user AS user,
                      r._origin AS origin, r._number AS number
               FROM rows r JOIN read_parquet({literal(dead)}) p USING ({ORDINAL})
               LEFT JOIN (SELECT * FROM latest WHERE _outcome <> 'answered') l
                    ON p._{_ASKED} AND r._fingerprint = l._fingerprint
               ORDER BY {ORDINAL}"""


_ASKED = "decision IN ('ask', 'fold', 'keep')"

"""Joining: every row of a run with what was decided for it, the last result of its request, or its carried answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.files_sql import literal, quoted
from offpeak.tables.table import PROVENANCE, Layout

if TYPE_CHECKING:
    import duckdb

PLACED, DEAD, ORDINAL, FILE, PLACE = "_placed", "_dead", "_ordinal", "_file", "_place"
"""Beside the table's columns: whether the row is one of the table's, whether it lacks an answer, its number, and
where its vector is: the number of the file and of the row in it, -1 for none. Names with a `_` first are reserved."""
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
    sql.execute("CREATE TABLE asked_again AS SELECT DISTINCT _fingerprint FROM results WHERE _round > 1")
    sql.execute(
        """CREATE VIEW latest AS
           SELECT * FROM results ANTI JOIN asked_again USING (_fingerprint)
           UNION ALL BY NAME
           SELECT * REPLACE (
                    sum(_cost_usd) OVER request AS _cost_usd,
                    sum(_input_tokens) OVER request AS _input_tokens,
                    sum(_output_tokens) OVER request AS _output_tokens)
           FROM results SEMI JOIN asked_again USING (_fingerprint)
           WINDOW request AS (PARTITION BY _fingerprint)
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


def joined_query(layout: Layout, run_id: str, *, carries: bool, vectors: bool) -> str:
    """Every row in the order of the input: the table's columns, PLACED, DEAD, and what DEAD_COLUMNS names.

    With `vectors` FILE and PLACE stand for the answer. Unless the run `carries` nothing is looked for there.
    """
    own = layout.schema.names[: -len(PROVENANCE) - len(layout.answer)]

    def either(name: str) -> str:
        return f"coalesce(c.{name}, l.{name})" if carries else f"l.{name}"

    if vectors:
        answer = [f"coalesce({either(name)}, -1)::BIGINT AS {name}" for name in (FILE, PLACE)]
    else:
        answer = [f"{either(quoted(name))} AS {quoted(name)}" for name in layout.answer]
    known = ("_model", "_input_tokens", "_output_tokens", "_answered_at")
    columns = [
        *(f"r.{quoted(name)}" for name in own),
        *answer,
        *(f"{either(name)} AS {name}" for name in known),
        f"coalesce({either('_run')}, {literal(run_id)}) AS _run",
        f"r._fingerprint, {_OUTCOME} AS _outcome",
        "CASE WHEN p.decision = 'ask' THEN l._cost_usd ELSE 0 END::DECIMAL(18, 9) AS _cost_usd",
        f"p.decision <> 'duplicate' AND r.{quoted(layout.key)} IS NOT NULL AS {PLACED}",
        f"{_OUTCOME} IS DISTINCT FROM 'answered' AS {DEAD}",
        f"r.{ORDINAL}, p.decision AS _decision",
    ]
    carried = "LEFT JOIN carried c ON p.decision = 'carry' AND r._fingerprint = c._fingerprint"
    return f"""SELECT {", ".join(columns)}
               FROM rows r POSITIONAL JOIN (SELECT decision FROM plan) p
               LEFT JOIN latest l ON p.{_ASKED} AND r._fingerprint = l._fingerprint
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
_OUTCOME = """CASE p.decision WHEN 'bad' THEN 'errored' WHEN 'duplicate' THEN 'duplicate'
                              WHEN 'carry' THEN 'answered' ELSE l._outcome END"""

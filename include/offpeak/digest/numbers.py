"""Numbers: what is counted, by SQL over the source, and never asked of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.digest.night import TREND_PERIODS, WEEKS, Night
from offpeak.files_sql import literal

if TYPE_CHECKING:
    import duckdb

SHARES = 5
"""Categories that are named; the others are one line."""
OTHERS = "other"


def write_numbers(sql: duckdb.DuckDBPyConnection, night: Night, path: Path, *, dated: bool) -> None:
    """numbers.parquet, from the views `items` and `night`: one row for each group that had an item in any period.

    `items` in the night; `usual`, their mean over the same stretch of the four weeks before, as far as the source
    goes back (null when it does not); `change` against it, as a share; `trend` over 28 periods, the night last,
    null for those before the source's first item; `shares` by category, the largest first.
    """
    _periods(sql, night if dated else None)
    sql.execute(
        """CREATE TABLE counted AS
           SELECT grp, kind, k, count(DISTINCT item) AS items
           FROM items JOIN periods ON moment >= lo AND moment < hi GROUP BY ALL"""
    )
    sql.execute("CREATE TABLE tonight AS SELECT grp, count(*) AS items FROM night GROUP BY grp")
    sql.execute("""CREATE VIEW groups AS SELECT grp FROM tonight UNION SELECT grp FROM counted""")
    _shares(sql)
    sql.execute(
        f"""COPY (
              SELECT g.grp, coalesce(t.items, 0)::BIGINT AS items, u.usual, u.weeks,
                     CASE WHEN u.usual > 0 THEN coalesce(t.items, 0) / u.usual - 1 END AS change,
                     r.trend, s.shares
              FROM groups g LEFT JOIN tonight t USING (grp) LEFT JOIN shares s USING (grp)
              LEFT JOIN ({_OVER_WEEKS}) u USING (grp) LEFT JOIN ({_OVER_TREND}) r USING (grp)
              ORDER BY g.grp
            ) TO {literal(path)} (FORMAT parquet)"""
    )


_SERIES = """SELECT g.grp, p.k, CASE WHEN p.known THEN coalesce(c.items, 0) END AS items
             FROM groups g CROSS JOIN periods p
             LEFT JOIN counted c ON c.grp = g.grp AND c.kind = p.kind AND c.k = p.k
             WHERE p.kind = '{kind}'"""
_OVER_WEEKS = f"""SELECT grp, avg(items)::DOUBLE AS usual, count(items)::INTEGER AS weeks
                  FROM ({_SERIES.format(kind="week")}) GROUP BY grp"""
_OVER_TREND = f"""SELECT grp, list(items::BIGINT ORDER BY k DESC) AS trend
                  FROM ({_SERIES.format(kind="trend")}) GROUP BY grp"""


def _periods(sql: duckdb.DuckDBPyConnection, night: Night | None) -> None:
    """`periods`: each stretch that is counted, and whether the source goes back to it."""
    sql.execute("CREATE TABLE spans (kind VARCHAR, k INTEGER, lo TIMESTAMPTZ, hi TIMESTAMPTZ)")
    if night is not None:
        spans = [("trend", k, *night.before(k)) for k in range(TREND_PERIODS)]
        spans += [("week", k, *night.before(k, of=night.usual)) for k in range(1, WEEKS + 1)]
        sql.executemany("INSERT INTO spans VALUES (?, ?, ?, ?)", [list(span) for span in spans])
    sql.execute(
        """CREATE TABLE periods AS
           SELECT *, coalesce(hi > (SELECT min(moment) FROM items), false) AS known FROM spans"""
    )


def _shares(sql: duckdb.DuckDBPyConnection) -> None:
    """`shares`: per group the categories of the night's items; those without one are not in it."""
    sql.execute(
        f"""CREATE VIEW shares AS
            WITH each_one AS (
                SELECT grp, category, count(*) AS items,
                       row_number() OVER (PARTITION BY grp ORDER BY count(*) DESC, category) AS place,
                       sum(count(*)) OVER (PARTITION BY grp) AS whole
                FROM night WHERE category IS NOT NULL GROUP BY grp, category),
            named AS (
                SELECT grp, CASE WHEN place <= {SHARES} THEN category ELSE {literal(OTHERS)} END AS value,
                       least(place, {SHARES + 1}) AS place, sum(items)::BIGINT AS items, any_value(whole) AS whole
                FROM each_one GROUP BY ALL)
            SELECT grp, list({{'value': value, 'items': items, 'share': (items / whole)::DOUBLE}}
                             ORDER BY place) AS shares
            FROM named GROUP BY grp"""
    )

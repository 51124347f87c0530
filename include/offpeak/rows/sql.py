"""Rows of a query: streamed by the server, read only, for the run's own interval.

`:start` and `:end` are the ends of the data interval, aware and in UTC. The types of the columns are
settled by the first batch (see values.py). Rows are numbered as the query gives them: order it by the key
if the numbers are to mean the same twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

from offpeak.arrays import positions
from offpeak.errors import InputError, SpecError
from offpeak.rows.columns import BATCH_BYTES, MAX_CELL_BYTES, Frame, frame_of, wanted_columns
from offpeak.rows.databases import database_url, shown
from offpeak.rows.files import NOTHING_SENT
from offpeak.rows.parameters import for_text, parameters
from offpeak.rows.source import Opening, RowBatch, RowProblem, RowSource
from offpeak.rows.values import Column, column_of

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, CursorResult

_FETCH_ROWS = 1000
_CONNECT_SECONDS = "15"
_READ_ONLY = {"sqlite": "PRAGMA query_only = ON", "mysql": "SET SESSION TRANSACTION READ ONLY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlRows:
    """Rows of one query. `connection` may be a URL with a password: it is in no repr and no message."""

    connection: str = field(repr=False)
    query: str
    key: str
    max_cell_bytes: int = MAX_CELL_BYTES

    def describe(self) -> str:
        words = " ".join(self.query.split())
        return f"sql {shown(self.connection)}: {words[:80]}{' ...' if len(words) > 80 else ''}"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        url = database_url(self.connection, opening.connections, opening.store)
        origin = f"query on {shown(self.connection)}"
        interval = {"start": opening.interval.start, "end": opening.interval.end}
        bound = {name: interval[name].astimezone(UTC) for name in parameters(self.query)}
        with _told(url, origin), _reading(url) as connection:
            from sqlalchemy import text

            result = connection.execute(text(for_text(self.query)), bound)
            yield from self._stream(result, opening, origin)

    def _stream(self, result: CursorResult[Any], opening: Opening, origin: str) -> Iterator[RowBatch]:
        names = _names(result, origin)
        wanted = wanted_columns(opening, self.key, names, f"The {origin}")
        at = [names.index(name) for name in wanted]
        scales = [_scale(result, index) for index in at]
        columns: list[Column] = []
        first = 1
        for chunk in _chunks(result, opening.batch_rows):
            if not columns:
                columns = [
                    column_of(name, [row[index] for row in chunk], scale)
                    for name, index, scale in zip(wanted, at, scales, strict=True)
                ]
                frame = frame_of(
                    {one.name: one.type for one in columns}, self.key, origin, self.max_cell_bytes
                )
            yield _batch(chunk, at, columns, frame, origin, first)
            first += len(chunk)


def sql(connection: str, query: str, *, key: str, max_cell_bytes: int = MAX_CELL_BYTES) -> RowSource:
    """Rows of `query` at `connection`: an Airflow connection's id, or any URL that SQLAlchemy knows.

    The query may use :start and :end. SpecError for any other parameter, and for an empty argument.
    """
    if not connection.strip():
        raise SpecError(
            'sql() needs a connection: an id of Airflow\'s, or a URL, e.g. sql("crm", "SELECT ...").'
        )
    if not query.strip():
        raise SpecError(f"sql({shown(connection)!r}) needs the query that gives the rows.")
    if not key:
        raise SpecError(f"sql({shown(connection)!r}) needs key=: the column whose value names a row.")
    parameters(query)
    return SqlRows(
        connection=connection, query=query.strip().rstrip(";"), key=key, max_cell_bytes=max_cell_bytes
    )


@contextmanager
def _reading(url: URL) -> Iterator[Connection]:
    """A connection whose result is streamed and whose transaction is read only and rolled back."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    postgres = url.get_backend_name() == "postgresql"
    if postgres:
        url = url.set(query={"connect_timeout": _CONNECT_SECONDS, **url.query})
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        options: dict[str, Any] = {"stream_results": True, "max_row_buffer": _FETCH_ROWS}
        if postgres:
            options["postgresql_readonly"] = True
        connection = connection.execution_options(**options)
        statement = _READ_ONLY.get(url.get_backend_name())
        if statement:
            connection.exec_driver_sql(statement)
        try:
            yield connection
        finally:
            connection.rollback()


@contextmanager
def _told(url: URL, origin: str) -> Iterator[None]:
    """Every failure of the database is an InputError with its own sentence, and without the password."""
    from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except (NoSuchModuleError, ImportError) as error:
        raise SpecError(
            f"There is no driver here for {url.drivername} ({error}). {NOTHING_SENT} Install it, or name "
            "another in the URL (dialect+driver://)."
        ) from None
    except SQLAlchemyError as error:
        said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        for secret in (url.password, url.query.get("password")):
            said = said.replace(str(secret), "***") if secret else said
        # no `from`: the chained error could repeat the login that is taken out here
        raise InputError(
            f"The {origin} failed: {' '.join(said.split())}. {NOTHING_SENT} "
            "Correct the query or the connection, then run again."
        ) from None


def _names(result: CursorResult[Any], origin: str) -> list[str]:
    if not result.returns_rows:
        raise InputError(f"The {origin} gives no rows: it is not a SELECT. {NOTHING_SENT}")
    names = list(result.keys())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"The {origin} has more than one column {', '.join(map(repr, twice))}. {NOTHING_SENT} "
            "Name them apart with AS."
        )
    return names


def _scale(result: CursorResult[Any], index: int) -> tuple[int, int] | None:
    """Precision and scale of a decimal column, where the driver states them."""
    described = result.cursor.description[index] if result.cursor and result.cursor.description else ()
    precision, scale = (described[4], described[5]) if len(described) > 5 else (None, None)
    return (precision, scale) if isinstance(precision, int) and isinstance(scale, int) else None


def _chunks(result: CursorResult[Any], batch_rows: int) -> Iterator[list[Sequence[Any]]]:
    """The result in lists of at most `batch_rows` rows, and of about BATCH_BYTES."""
    chunk: list[Sequence[Any]] = []
    size = 0
    for row in result:
        chunk.append(row)
        size += sum(len(value) if isinstance(value, str | bytes) else 16 for value in row)
        if len(chunk) >= batch_rows or size >= BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _batch(
    rows: list[Sequence[Any]],
    at: Sequence[int],
    columns: Sequence[Column],
    frame: Frame,
    origin: str,
    first: int,
) -> RowBatch:

    faults: dict[int, str] = {}
    arrays = []
    for index, column in zip(at, columns, strict=True):
        array, misfits = column.array([row[index] for row in rows])
        arrays.append(array)
        faults = misfits | faults
    key_at = at[[column.name for column in columns].index(frame.key)]
    left = [index for index in range(len(rows)) if index not in faults]

    def show(index: int) -> str:
        return f"{frame.key}={rows[index][key_at]!r}"[:500]

    problems = [
        RowProblem(origin=origin, number=first + index, reason=reason, excerpt=show(index))
        for index, reason in faults.items()
    ]
    keep = positions(left)
    return frame.batch(
        [array.take(keep) for array in arrays] if faults else arrays,
        origin=origin,
        numbers=[first + index for index in left],
        show=lambda index: show(left[index]),
        problems=problems,
    )

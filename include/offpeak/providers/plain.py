"""Plain answers: result lines that are nothing but a success, read fast and typed.

What a reader here does not take (None) is left to `parse`, which knows every other case. Whatever it does take
is what `parse` would say: answered, with this text or vector, model and usage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

if TYPE_CHECKING:
    import duckdb
    import numpy as np

UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError)
Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
"""Of tokens. What no provider would count is left to the slow reader."""
Name = Annotated[str, msgspec.Meta(min_length=1)]


class Plain(NamedTuple):
    """One answered line."""

    custom_id: str
    model: str
    usage: tuple[int, int, int, int, int, int]
    """In the order of the fields of Usage."""
    text: str = ""
    vector: bytes | None = None


def check_text(line: bytes) -> None:
    """UnicodeDecodeError for a line that is not UTF-8: the typed decoder looks only at what it takes."""
    if not line.isascii():
        line.decode()


def one_by_one(read: Callable[[bytes], Plain | None]) -> Callable[[Sequence[bytes]], list[Plain | None]]:
    """A reader of many lines from a reader of one."""

    def read_all(lines: Sequence[bytes]) -> list[Plain | None]:
        found: list[Plain | None] = []
        for line in lines:
            try:
                check_text(line)
                found.append(read(line))
            except UNREADABLE:
                found.append(None)
        return found

    return read_all


def float_lists(lists: Sequence[bytes]) -> list[bytes | None]:
    """JSON lists of numbers as float32, little-endian; None for one that is no list of finite numbers.

    Each is valid JSON.
    """
    import duckdb
    import pyarrow as pa

    if not lists:
        return []
    given = pa.table({"list": pa.array(lists, pa.binary()).cast(pa.string())})
    connection = _engine()
    connection.register("given", given)
    try:
        found = connection.sql(
            """SELECT from_json(list, '["FLOAT"]') AS vector FROM given"""
        ).to_arrow_table()
    except duckdb.Error:
        return [None] * len(lists)
    finally:
        connection.unregister("given")
    return [
        _finite(vector.values) if vector.is_valid and _holds_numbers(text) else None
        for vector, text in zip(found["vector"], lists, strict=True)
    ]


_engines = threading.local()


def _engine() -> duckdb.DuckDBPyConnection:
    """One for each thread: to open one takes as long as hundreds of vectors."""
    import duckdb

    if not hasattr(_engines, "connection"):
        _engines.connection = duckdb.connect(
            config={"threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False}
        )
    made: duckdb.DuckDBPyConnection = _engines.connection
    return made


def _holds_numbers(text: bytes) -> bool:
    """Whether a JSON list holds nothing but numbers: the engine would read `false` as 0."""
    return text.count(b"[") == 1 and not any(mark in text for mark in (b'"', b"u", b"f", b"{"))


def _finite(values: object) -> bytes | None:
    import numpy as np

    if getattr(values, "null_count", 1):
        return None
    numbers: np.ndarray = np.asarray(values, "<f4")
    return numbers.tobytes() if numbers.size and np.isfinite(numbers).all() else None

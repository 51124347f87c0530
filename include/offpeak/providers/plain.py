"""Plain answers: result lines that are nothing but a success, read fast and typed.

What a reader here does not take (None) is left to `parse`, which knows every other case. Whatever it does take
is what `parse` would say: answered, with this text or vector, model and usage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

if TYPE_CHECKING:
    import duckdb
    import numpy as np

UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError)
Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
"""Of tokens. What no provider would count is left to the slow reader."""
Name = Annotated[str, msgspec.Meta(min_length=1)]


Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plains:
    """The plain answers among some lines, as columns: one value in each for every line that was taken."""

    places: Sequence[int]
    """Of the lines, ascending."""
    custom_ids: Sequence[str]
    models: Sequence[str]
    usage: np.ndarray
    """Shape (lines taken, 6), int64; columns in the order of the fields of Usage."""
    texts: Sequence[str] | None = None
    vectors: Sequence[bytes] | None = None
    """All are texts, or all are vectors: whichever the first line taken is; the others are not taken."""

    def where(self, wanted: Sequence[bool]) -> Plains:
        """Those of them for which `wanted`, in the same order, says True."""
        import numpy as np

        return Plains(
            places=list(compress(self.places, wanted)),
            custom_ids=list(compress(self.custom_ids, wanted)),
            models=list(compress(self.models, wanted)),
            usage=self.usage[np.array(wanted, bool)],
            texts=None if self.texts is None else list(compress(self.texts, wanted)),
            vectors=None if self.vectors is None else list(compress(self.vectors, wanted)),
        )


def decoded(decode: Callable[[bytes], Read], lines: Sequence[bytes]) -> list[Read | None]:
    """Each line as `decode` reads it, None for one that it refuses or that is not UTF-8."""
    found: list[Read | None] = []
    rest = iter(_utf8(lines))
    while True:
        try:
            found.extend(map(decode, rest))  # keeps what it read before it raises
        except UNREADABLE:
            found.append(None)
        else:
            return found


def _utf8(lines: Sequence[bytes]) -> Sequence[bytes]:
    """The lines, with b"" for one that is not UTF-8: the typed decoder looks only at what it takes."""
    if all(map(bytes.isascii, lines)):
        return lines
    with suppress(UnicodeDecodeError):
        b"\n".join(lines).decode()
        return lines
    return [line if _is_utf8(line) else b"" for line in lines]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def usage_of(*columns: Sequence[int] | np.ndarray) -> np.ndarray:
    """Token counts by kind, in the order of the fields of Usage, as one array of the shape (lines, 6)."""
    import numpy as np

    made = np.empty((len(columns), len(columns[0])), np.int64)
    for row, column in zip(made, columns, strict=True):
        row[:] = column if isinstance(column, np.ndarray) else np.fromiter(column, np.int64, len(row))
    return made.T


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

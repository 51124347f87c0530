"""Plain answers: result lines that are nothing but a success, read fast and typed.

What a reader here does not take (None) is left to `parse`, which knows every other case. Whatever it does take
is what `parse` would say: answered, with this text or vector, model and usage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from offpeak.decoding import decoded_each

if TYPE_CHECKING:
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
    return decoded_each(decode, _utf8(lines), UNREADABLE)


def having(found: Sequence[Read | None], values: Sequence[object]) -> tuple[list[int], list[Read]]:
    """Of the lines with a value: their places, and what was read there."""
    places = [place for place, value in enumerate(values) if value is not None]
    return places, [one for one in map(found.__getitem__, places) if one is not None]


def _utf8(lines: Sequence[bytes]) -> Sequence[bytes]:
    """The lines, with b"" for one that is not UTF-8: the typed decoder looks only at what it takes."""
    return [line if line.isascii() or _is_utf8(line) else b"" for line in lines]


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

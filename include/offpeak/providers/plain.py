"""Plain answers: result lines that are nothing but a success, read fast and typed.

What a reader here does not take (None) is left to `parse`, which knows every other case. Whatever it does take
is what `parse` would say: answered, with this text or vector, model and usage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from offpeak.arrays import numbers
from offpeak.blocks import Block
from offpeak.decoding import decoded_each

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError)
Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
"""Of tokens. What no provider would count is left to the slow reader."""
Name = Annotated[str, msgspec.Meta(min_length=1)]


Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plains:
    """The plain answers among some lines, as columns: one value in each for every line that was taken."""

    places: np.ndarray
    """Of the lines, ascending, int64."""
    custom_ids: pa.Array
    models: pa.Array
    """Strings, as the ids; empty where a line names none."""
    usage: np.ndarray
    """Shape (lines taken, 6), int64; columns in the order of the fields of Usage."""
    values: pa.Array
    """The texts, or vectors as FixedSizeList of float32."""

    def at(self, wanted: np.ndarray) -> Plains:
        """Those at these places among them, or, of bools, those that are True."""
        import numpy as np

        ats = wanted.nonzero()[0] if wanted.dtype == bool else wanted
        taken = numbers(ats.astype(np.int64))
        return Plains(
            places=self.places[ats],
            custom_ids=self.custom_ids.take(taken),
            models=self.models.take(taken),
            usage=self.usage[ats],
            values=self.values.take(taken),
        )

    def beside(self, others: Plains) -> Plains:
        """These and others, of the same lines and of the same kind, in the order of the lines."""
        import numpy as np
        import pyarrow as pa

        both = Plains(
            places=np.concatenate([self.places, others.places]),
            custom_ids=pa.concat_arrays([self.custom_ids, others.custom_ids]),
            models=pa.concat_arrays([self.models, others.models]),
            usage=np.concatenate([self.usage, others.usage]),
            values=pa.concat_arrays([self.values, others.values]),
        )
        return both.at(np.argsort(both.places))


def one_after_the_other(
    lines: Block, first: Plains | None, read: Callable[[Sequence[bytes]], Plains]
) -> Plains:
    """What `first` has of the lines, and of the others what `read` takes."""
    import numpy as np

    if first is None:
        return read([*lines])
    if len(first.places) == len(lines):
        return first
    left = np.setdiff1d(np.arange(len(lines)), first.places, assume_unique=True)
    more = read([lines[place] for place in left.tolist()])
    return first.beside(replace(more, places=left[more.places])) if len(more.places) else first


def decoded(decode: Callable[[bytes], Read], lines: Sequence[bytes]) -> list[Read | None]:
    """Each line as `decode` reads it, None for one that it refuses or that is not UTF-8."""
    return decoded_each(decode, _utf8(lines), UNREADABLE)


def having(found: Sequence[Read | None], values: Sequence[object]) -> tuple[np.ndarray, list[Read]]:
    """Of the lines with a value: their places, and what was read there."""
    import numpy as np

    places = [place for place, value in enumerate(values) if value is not None]
    return np.array(places, np.int64), [one for one in map(found.__getitem__, places) if one is not None]


def _utf8(lines: Sequence[bytes]) -> Sequence[bytes]:
    """The lines, with b"" for one that is not UTF-8: the typed decoder looks only at what it takes."""
    return [line if line.isascii() or _is_utf8(line) else b"" for line in lines]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def usage_of(*columns: np.ndarray) -> np.ndarray:
    """Token counts by kind, in the order of the fields of Usage, as one array of the shape (lines, 6)."""
    import numpy as np

    return np.stack(columns).T

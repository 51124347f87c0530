"""Lines: slices of rendered requests written into shards, as constant bytes around escaped columns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from offpeak.arrays import offsets_of, texts
from offpeak.compiled.library import library
from offpeak.compiled.writing import escaped_sizes
from offpeak.json_text import escaped
from offpeak.requests import LineForm

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.prompt import Template
    from offpeak.providers.provider import Ask, Provider
    from offpeak.shards import ShardWriter

SLICE_BYTES = 2 * 1024 * 1024
"""About as much of lines as is made at once: more than what the processor caches costs twice the time."""
MOST_ROWS = 8_192


class Lines:
    """Writes the requests of one workload. Every line is the one that requests.slow_line makes."""

    def __init__(self, provider: Provider, ask: Ask) -> None:
        self._provider = provider
        self._ask = ask
        self._forms: dict[bool, LineForm] = {}

    def slice_rows(self, templates: tuple[Template, Template]) -> int:
        """So many rows at once that their lines stay near SLICE_BYTES, the rows' own texts left aside."""
        constant = sum(template.constant_characters for template in templates)
        form = self._form(with_system=False)
        return max(1, min(MOST_ROWS, SLICE_BYTES // (form.constant_bytes + constant)))

    def write(self, shards: ShardWriter, prints: pa.Array, systems: pa.Array, users: pa.Array) -> None:
        """Write one slice. `prints` and `users` are strings, `systems` a dictionary of strings."""
        import numpy as np

        if library() is None:
            users = escaped(users)
            user_sizes = np.diff(offsets_of(users)).astype(np.int64)
        else:
            user_sizes = escaped_sizes(users)
        for start, stop, system in _stretches(systems):
            form = self._form(with_system=system != b"")
            sizes = form.constant_bytes + user_sizes[start:stop]
            of_form: dict[str, pa.Array | bytes] = {}
            if isinstance(system, bytes):
                of_form = {"system": system} if system else {}
                sizes += len(system)
            else:
                of_form = {"system": system}
                sizes += np.diff(offsets_of(system)).astype(np.int64)
            ends = np.cumsum(sizes)
            done = 0
            while done < stop - start:
                left = ends[done:] - (ends[done - 1] if done else 0)
                count = shards.fit(left)
                part = slice(start + done, start + done + count)
                rest = {
                    name: text if isinstance(text, bytes) else text[done : done + count]
                    for name, text in of_form.items()
                }
                if library() is None:
                    lines = form.lines(shards.tag, prints[part], user=users[part], **rest)
                else:
                    size = int(left[count - 1])
                    lines = form.compiled_lines(shards.tag, prints[part], size, user=users[part], **rest)
                shards.write(lines, prints[part], left[:count])
                done += count

    def _form(self, *, with_system: bool) -> LineForm:
        if with_system not in self._forms:
            self._forms[with_system] = LineForm.of(self._provider, self._ask, with_system=with_system)
        return self._forms[with_system]


def _stretches(systems: pa.DictionaryArray) -> Iterator[tuple[int, int, bytes | pa.Array]]:
    """The slice in stretches (start, stop, escaped system text): one text for all of it, or an array of texts.

    A stretch has either no system text at all or one in every row: those are lines of different forms.
    """
    import numpy as np

    if not len(systems):
        return
    indices = systems.indices
    places = np.frombuffer(indices.buffers()[1], np.int32, len(indices), 4 * indices.offset)
    if (places == places[0]).all():
        yield 0, len(systems), _escaped(systems.dictionary[int(places[0])].as_py())
        return
    each = escaped(systems.dictionary_decode())
    lengths = np.diff(offsets_of(each))
    borders = np.flatnonzero(np.diff(lengths == 0)) + 1
    for start, stop in zip([0, *borders.tolist()], [*borders.tolist(), len(systems)], strict=True):
        yield start, stop, each[start:stop] if lengths[start] else b""


@lru_cache(maxsize=2)
def _escaped(system: str) -> bytes:
    """JSON text without its quotes, of a system text that many slices share."""
    (text,) = escaped(texts([system]))
    return bytes(text.as_py())

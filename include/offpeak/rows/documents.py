"""Rows from text files, one row a file: `doc_path`, `title` and `text`. For a corpus that lies in a folder."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from offpeak.arrays import texts
from offpeak.errors import InputError
from offpeak.rows.columns import BATCH_BYTES, MAX_CELL_BYTES, excerpt, wanted_columns
from offpeak.rows.files import (
    SourceFile,
    checked_addresses,
    expanded_address,
    find_files,
    without_login,
)
from offpeak.rows.source import Opening, RowBatch, RowProblem, RowSource
from offpeak.store import is_remote

if TYPE_CHECKING:
    import pyarrow as pa

KEY, TITLE, TEXT = "doc_path", "title", "text"
_HEADINGS = (
    re.compile(r"^#[ \t]+(\S.*?)[ \t]*#*[ \t]*$", re.MULTILINE),
    re.compile(r"<title[^>]*>\s*(.*?)\s*</title>", re.IGNORECASE | re.DOTALL),
    re.compile(r"^(\S.*)\n[=]{3,}[ \t]*$", re.MULTILINE),
)
_WILDCARD = re.compile(r"[*?\[]")
_TITLE_CHARACTERS = 200
_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRows:
    """The text files at some addresses."""

    key: ClassVar[str] = KEY
    has_shares: ClassVar[bool] = True
    unit: ClassVar[str] = "file"
    addresses: tuple[str, ...]
    max_cell_bytes: int = MAX_CELL_BYTES

    def describe(self) -> str:
        return f"documents {', '.join(without_login(address) for address in self.addresses)}"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        """A file that cannot be opened, is not UTF-8 or is too large is a problem of that file."""
        wanted = wanted_columns(opening, KEY, (KEY, TITLE, TEXT), self.describe())
        gathered: list[tuple[str, str]] = []
        problems: list[RowProblem] = []
        files = list(enumerate(_named(self.addresses, opening), 1))
        mine = opening.share.pick(files, lambda one: one[1][1].measured())
        first, size = mine[0][0] if mine else 1, 0
        for number, (name, file) in mine:
            text = self._read(file, number)
            if isinstance(text, RowProblem):
                problems.append(text)
            else:
                gathered.append((name, text))
                size += len(text)
            if size >= BATCH_BYTES or len(gathered) >= opening.batch_rows:
                yield _batch(gathered, wanted, self.describe(), first, problems)
                gathered, problems, first, size = [], [], number + 1, 0
        if gathered or problems:
            yield _batch(gathered, wanted, self.describe(), first, problems)

    def _read(self, file: SourceFile, number: int) -> str | RowProblem:
        def problem(reason: str, content: bytes = b"") -> RowProblem:
            told = f"{file.address}: {reason}"
            return RowProblem(
                origin=self.describe(), number=number, reason=told, excerpt=excerpt(content[:2_000])
            )

        try:
            with file.open() as handle:
                content = handle.read(self.max_cell_bytes + 1)
        except InputError as error:
            return problem(str(error))
        if len(content) > self.max_cell_bytes:
            return problem(f"the file has more than {self.max_cell_bytes:,} bytes; split it", content)
        try:
            return content.removeprefix(codecs.BOM_UTF8).decode()
        except UnicodeDecodeError as error:
            return problem(f"it is not UTF-8 (first at byte {error.start:,}); convert the file", content)


def documents(address: str | Sequence[str], *, max_cell_bytes: int = MAX_CELL_BYTES) -> RowSource:
    """One row for each text file at `address`, e.g. "docs/**/*.md": `doc_path`, `title` and `text`.

    `doc_path` is the key: the path below the folder that the address names before any wildcard. `title` is the
    first heading of the highest level (Markdown, reStructuredText underlined by `=`) or the title of an HTML page,
    else the file's name.
    SpecError when the address is empty.
    """
    return DocumentRows(addresses=checked_addresses("documents", address, KEY), max_cell_bytes=max_cell_bytes)


def _named(addresses: Sequence[str], opening: Opening) -> Iterator[tuple[str, SourceFile]]:
    """Each file once, with its path below the folder in its address that comes before any wildcard."""
    seen: set[str] = set()
    for address in addresses:
        expanded = expanded_address(address, opening.store, opening.interval.key)
        folder = _WILDCARD.split(expanded, maxsplit=1)[0].rpartition("/")[0]
        if not is_remote(expanded):
            folder = str(Path(folder.removeprefix("file://")).expanduser().absolute())
        for file in find_files([address], opening.store, opening.interval.key):
            if file.address not in seen:
                seen.add(file.address)
                yield file.address.removeprefix(f"{without_login(folder).rstrip('/')}/"), file


def _title(name: str, text: str) -> str:
    for heading in _HEADINGS:
        if found := heading.search(text[:_LOOKED_AT]):
            return " ".join(found[1].split())[:_TITLE_CHARACTERS]
    return PurePosixPath(name).stem.replace("_", " ").replace("-", " ")


def _batch(
    gathered: list[tuple[str, str]], wanted: list[str], origin: str, first: int, problems: list[RowProblem]
) -> RowBatch:
    import pyarrow as pa

    made: dict[str, pa.Array] = {
        KEY: texts([name for name, _ in gathered]),
        TITLE: texts([_title(name, text) for name, text in gathered]),
        TEXT: texts([text for _, text in gathered]),
    }
    records = pa.RecordBatch.from_arrays([made[name] for name in wanted], names=wanted)
    return RowBatch(records, origin, first, tuple(problems))

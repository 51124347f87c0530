"""Text files as physical lines: decompressed when gzipped, numbered from 1, each of bounded size."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from offpeak.errors import InputError, SpecError
from offpeak.rows.files import NOTHING_SENT, SourceFile, unreadable

_BUFFER_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_NOT_TEXT = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"PAR1": "a Parquet file",
    b"BZh": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
}


class Line(NamedTuple):
    number: int
    """1-based and physical: blank lines count."""
    content: bytes
    """Without its line feed. The first bytes of it when it is longer than the limit."""
    whole: bool = True


@contextmanager
def text_bytes(file: SourceFile, path: Path) -> Iterator[IO[bytes]]:
    """The bytes of the text file at `path` (the local content of `file`), decompressed if gzipped.

    InputError when the file cannot be read, is damaged, or is of a kind that is not text.
    """
    try:
        with path.open("rb", buffering=_BUFFER_BYTES) as raw:
            start = raw.read(8)
            raw.seek(0)
            for magic, kind in _NOT_TEXT.items():
                if start.startswith(magic):
                    raise InputError(
                        f"{file.address} is {kind}, not text. {NOTHING_SENT} "
                        "Unpack it (gzip alone is read as it is), or use the source for its kind."
                    )
            if not start.startswith(_GZIP):
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as unzipped, io.BufferedReader(unzipped, _BUFFER_BYTES) as plain:
                yield plain
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(file.address, error) from error


def byte_lines(handle: IO[bytes], limit_bytes: int) -> Iterator[Line]:
    """The lines between line feeds and nothing else: U+2028 and a lone CR are data. A BOM is left out."""
    number = 0
    while content := handle.readline(limit_bytes + 1):
        number += 1
        if number == 1:
            content = content.removeprefix(codecs.BOM_UTF8)
        if content.endswith(b"\n"):
            yield Line(number, content[:-1])
        elif len(content) <= limit_bytes:
            yield Line(number, content)  # the last line of a file without a final line feed
        else:
            yield Line(number, content[:2000], whole=False)
            while (rest := handle.readline(_BUFFER_BYTES)) and not rest.endswith(b"\n"):
                pass


@contextmanager
def marked_text(handle: IO[bytes], encoding: str, newline: str) -> Iterator[IO[str]]:
    """`handle` as text. Bytes that `encoding` does not know become lone surrogates, which no decoder gives.

    So they cannot pass for data: such text does not encode to UTF-8 again. A byte order mark is left out.
    """
    errors, name = ("surrogateescape", "utf-8-sig") if encoding == "utf-8" else ("offpeak-mark", encoding)
    codecs.register_error("offpeak-mark", _mark)
    text = io.TextIOWrapper(handle, name, errors=errors, newline=newline)
    try:
        yield text
    finally:
        text.detach()


def recoded_lines(handle: IO[bytes], encoding: str, limit_bytes: int) -> Iterator[Line]:
    """As `byte_lines`, for a file in another encoding: each line in UTF-8, or in invalid UTF-8 if spoilt."""
    with marked_text(handle, encoding, newline="\n") as text:
        number = 0
        while content := text.readline(limit_bytes + 1):
            number += 1
            if number == 1:
                content = content.removeprefix("\ufeff")  # where the encoding's name states a byte order
            whole = content.endswith("\n") or len(content) <= limit_bytes
            content = (content if whole else content[:500]).removesuffix("\n")
            yield Line(number, content.encode("utf-8", "surrogatepass"), whole)
            while not whole and (rest := text.readline(_BUFFER_BYTES)) and not rest.endswith("\n"):
                pass


def checked_encoding(encoding: str) -> str:
    """The encoding's own name; SpecError for one that Python does not know, or that is not of text."""
    try:
        known = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, ValueError, TypeError):
        raise SpecError(
            f"There is no text encoding {encoding!r}. Use e.g. 'utf-8', 'cp1252' or 'utf-16'."
        ) from None
    return "utf-8" if known.name == "utf-8-sig" else known.name


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end

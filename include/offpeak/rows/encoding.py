"""Which encoding a text file without a stated one has: decided over the whole file, in bounded memory.

A byte order mark decides; else valid UTF-8 does; else a file with any correct multi-byte character is UTF-8
with damaged lines, and only one without is of an older, one-byte encoding, told from its undecodable
lines: Windows-1252 or Latin-1, or nothing. A guess is logged as a warning, because a wrong one is paid for
and looks right.
"""

from __future__ import annotations

import codecs
import logging
from typing import IO, NamedTuple

from offpeak.errors import InputError
from offpeak.rows.files import NOTHING_SENT, SourceFile

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class _Scan(NamedTuple):
    bad_line: int | None
    """The first line that is not UTF-8."""
    multi_byte: bool
    """Whether some line that is UTF-8 has a character outside ASCII."""
    sample: bytes
    """The beginning of the lines that are not UTF-8."""


def find_encoding(handle: IO[bytes], file: SourceFile) -> str:
    """The encoding of what `handle` reads, to its end. InputError when it is no text that can be guessed."""
    start = handle.read(4)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    scan = _scan(handle, start)
    if scan.bad_line is None or scan.multi_byte:
        return "utf-8"
    guess = _guess(scan.sample)
    if guess is None:
        raise InputError(
            f"{file.address} is not UTF-8 (first in line {scan.bad_line}), and its encoding cannot be told. "
            f"{NOTHING_SENT} Name it with encoding=, or convert the file to UTF-8."
        )
    log.warning(
        "%s is not UTF-8 (first in line %d); it is read as %s, a guess. Name the right one with encoding=.",
        file.address,
        scan.bad_line,
        guess,
    )
    return guess


def _scan(handle: IO[bytes], start: bytes) -> _Scan:
    """Look at every line's bytes; long lines in parts, cut where no character is."""
    number, bad_line, multi_byte, sample = 1, None, False, bytearray()
    pending = start
    while chunk := handle.read(_CHUNK_BYTES):
        pending += chunk
        cut = max(pending.rfind(b"\n"), pending.rfind(b" "), pending.rfind(b",")) + 1 or len(pending)
        part, pending = pending[:cut], pending[cut:]
        number, bad_line, multi_byte = _judge(part, number, bad_line, multi_byte, sample)
    number, bad_line, multi_byte = _judge(pending, number, bad_line, multi_byte, sample)
    return _Scan(bad_line, multi_byte, bytes(sample))


def _judge(
    part: bytes, number: int, bad_line: int | None, multi_byte: bool, sample: bytearray
) -> tuple[int, int | None, bool]:
    if part.isascii():
        return number + part.count(b"\n"), bad_line, multi_byte
    try:
        part.decode()
        return number + part.count(b"\n"), bad_line, True
    except UnicodeDecodeError:
        pass
    lines = part.split(b"\n")
    for offset, line in enumerate(lines):
        if line.isascii():
            continue
        try:
            line.decode()
            multi_byte = True
        except UnicodeDecodeError:
            bad_line = bad_line or number + offset
            multi_byte = multi_byte or _has_multi_byte(line)
            if len(sample) < _SAMPLE_BYTES:
                sample += line[:4096] + b"\n"
    return number + len(lines) - 1, bad_line, multi_byte


def _has_multi_byte(line: bytes) -> bool:
    """Whether a line that is not UTF-8 as a whole has a correct multi-byte character all the same."""
    return any(not character.isascii() for character in line.decode("utf-8", "ignore"))


def _guess(sample: bytes) -> str | None:
    """Windows-1252 or Latin-1 if the sample reads as such, else None.

    Nothing else is guessed: left free, the detector takes French for mac_latin2 and short text for cp1006.
    """
    from charset_normalizer import from_bytes

    if b"\x00" in sample or from_bytes(sample, cp_isolation=["cp1252", "latin_1"]).best() is None:
        return None
    try:
        # Windows-1252 has characters where Latin-1 has control codes that no text holds
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"

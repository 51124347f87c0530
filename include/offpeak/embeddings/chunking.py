"""Chunks: the pieces of a document that are embedded, cut so that an edit moves only the cuts it touches.

A document is cut at its headings. A section that does not fit is gathered paragraph by paragraph, and where a
piece ends is decided by the words of its last paragraph: after an insertion the cuts fall back into step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from offpeak.embeddings.sections import MARKS, paragraphs, sections
from offpeak.errors import SpecError

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

BYTES_PER_TOKEN = 3
"""The estimate behind `max_tokens`: English text has 4 bytes a token and more, code about 3."""
LIMIT_TOKENS = 8_192
"""Of one input, at OpenAI (embeddings guide, 2026-07). A token is at least one byte, so is this for bytes."""
HEADING_BYTES = 512
"""Of the heading path at most; what is longer is cut."""
MOST_TOKENS = (LIMIT_TOKENS - HEADING_BYTES - 2) // BYTES_PER_TOKEN
RULES = 1
"""Raised when the same document is cut otherwise than before: a new version of the vectors."""
_CUT_ONE_IN = 4
"""A paragraph ends a piece that is long enough with this chance, by its own words."""


class Chunk(NamedTuple):
    """One piece of one document."""

    id: str
    """The document's key and a hash of the text; equal pieces of a document are numbered."""
    heading: str
    """`title > heading > heading`."""
    text: str
    passage: str
    """What is embedded."""
    position: int
    """From 0 within the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """How documents are cut. A change of it is a new version of the vectors. SpecError for what cannot be."""

    format: Literal["markdown", "rst", "text", "html"] = "markdown"
    max_tokens: int = 400
    """Of a chunk's text, at 3 bytes a token: it has at most `3 * max_tokens` bytes."""
    headings: bool = True
    """Whether the heading path stands before the text that is embedded."""

    def __post_init__(self) -> None:
        if self.format not in (*MARKS, "html"):
            raise SpecError(f"Chunking(format={self.format!r}): use one of {', '.join((*MARKS, 'html'))}.")
        whole = isinstance(self.max_tokens, int) and not isinstance(self.max_tokens, bool)
        if not whole or not 32 <= self.max_tokens <= MOST_TOKENS:
            raise SpecError(
                f"Chunking(max_tokens={self.max_tokens!r}): give 32 to {MOST_TOKENS:,}. A provider takes "
                f"{LIMIT_TOKENS:,} tokens at most, and so many are sure to fit."
            )

    @property
    def max_bytes(self) -> int:
        return self.max_tokens * BYTES_PER_TOKEN

    def describe(self) -> str:
        """One line for people that also names the rules: two of one description cut alike."""
        path = "with" if self.headings else "without"
        return f"{self.format} chunks of {self.max_tokens} tokens {path} headings, rules {RULES}"


def chunks(document: str, key: str, title: str, chunking: Chunking) -> Iterator[Chunk]:
    """The chunks of one document in order. Every word of it is in exactly one; whitespace between them may go."""
    form, text = chunking.format, document.replace("\r\n", "\n")
    if form == "html":
        from offpeak.embeddings.html import read_html

        page = read_html(text)
        form, title, text = "markdown", title or page.title, page.text
    seen: dict[str, int] = {}
    position = 0
    for section in sections(text, form):
        heading = heading_path((title, *section.headings))
        for piece in _pieces(section.text, form, chunking.max_bytes):
            if not (said := _trimmed(piece)):
                continue
            digest = hashlib.blake2b(said.encode(), digest_size=8).hexdigest()
            seen[digest] = number = seen.get(digest, 0) + 1
            name = f"{key}#{digest}" + (f"~{number}" if number > 1 else "")
            passage = f"{heading}\n\n{said}" if chunking.headings and heading else said
            yield Chunk(name, heading, said, passage, position)
            position += 1


def heading_path(names: tuple[str, ...]) -> str:
    """`title > heading > heading` without repetitions, at most HEADING_BYTES long."""
    path: list[str] = []
    for name in names:
        said = " ".join(name.split())
        if said and said not in path[-1:]:
            path.append(said)
    text = " > ".join(path)
    return text.encode()[:HEADING_BYTES].decode("utf-8", "ignore")


def _trimmed(piece: str) -> str:
    """Without empty lines around it; the first line keeps its indent, which means something in code."""
    lines = piece.rstrip().split("\n")
    first = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    return "\n".join(lines[first:])


def _pieces(section: str, form: str, most: int) -> Iterator[str]:
    if len(section.encode()) <= most:
        yield section
        return
    held, size = "", 0
    for paragraph in paragraphs(section, form):
        length = len(paragraph.encode())
        if held and size + length > most:
            yield held
            held, size = "", 0
        if length > most:
            yield from _splitter(form, most).chunks(paragraph)
            continue
        held, size = held + paragraph, size + length
        if size >= most // 4 and _ends_here(paragraph):
            yield held
            held, size = "", 0
    if held:
        yield held


def _ends_here(paragraph: str) -> bool:
    return hashlib.blake2b(paragraph.strip().encode(), digest_size=1).digest()[0] % _CUT_ONE_IN == 0


def _splitter(form: str, most: int) -> MarkdownSplitter | TextSplitter:
    """For a paragraph that does not fit: at lists, sentences, words, in the end at characters."""
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    kind = MarkdownSplitter if form == "markdown" else TextSplitter
    return kind.from_callback(lambda text: len(text.encode()), most, trim=False)

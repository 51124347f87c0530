"""Sections: a document cut at its headings, and a section at its paragraphs.

Both cuts are decided by the lines themselves, so a line that is added moves no cut but those beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple


class Section(NamedTuple):
    """A heading and what stands below it, up to the next heading. The texts of all sections are the document."""

    headings: tuple[str, ...]
    """From the outermost heading to the section's own."""
    text: str


class Marked(NamedTuple):
    """A line, and which heading it is, if it is one."""

    line: str
    level: int = 0
    """1 for the outermost; 0 for a line that is no heading."""
    heading: str = ""
    fenced: bool = False
    """Within a code fence: an empty line ends no paragraph here."""


_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|--+)[ \t]*$")
_LIST_OR_QUOTE = re.compile(r" {0,3}(?:[-*+>|]|\d+[.)]|    )")
_RULE = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*$")


def markdown(text: str) -> Iterator[Marked]:
    """`# Headings` and underlined ones, none of them within code fences or front matter."""
    lines = text.splitlines(keepends=True)
    matter = _front_matter(lines)
    fence = ""
    for number, line in enumerate(lines):
        bare = line.rstrip("\r\n")
        opened = _FENCE.match(bare)
        if number < matter:
            yield Marked(line, fenced=True)
        elif fence:
            if opened and opened[1].startswith(fence) and not bare.strip(" `~"):
                fence = ""
            yield Marked(line, fenced=True)
        elif opened:
            fence = opened[1]
            yield Marked(line, fenced=True)
        elif head := _ATX.match(bare):
            yield Marked(line, len(head[1]), _plain(head[2] or ""))
        elif (level := _underlined(lines, number)) and not _LIST_OR_QUOTE.match(bare):
            yield Marked(line, level, _plain(bare))
        else:
            yield Marked(line)


def _front_matter(lines: Sequence[str]) -> int:
    """How many lines of it there are, both `---` included."""
    if not lines or lines[0].rstrip() != "---":
        return 0
    return next((at + 1 for at, line in enumerate(lines[1:200], 1) if line.rstrip() == "---"), 0)


def _underlined(lines: Sequence[str], number: int) -> int:
    """The level of a paragraph of one line with a rule of `=` or `-` below it."""
    if not lines[number].strip() or number + 1 == len(lines):
        return 0
    if number and lines[number - 1].strip():
        return 0
    rule = _SETEXT.match(lines[number + 1].rstrip("\r\n"))
    return 0 if rule is None else 1 if rule[1].startswith("=") else 2


def rst(text: str) -> Iterator[Marked]:
    """Titles with a rule below, or above and below, as long as the title; levels by first appearance."""
    lines = text.splitlines(keepends=True)
    levels: dict[str, int] = {}
    over = -2
    for number, line in enumerate(lines):
        if _starts_overline(lines, number):
            over = number
            style, title = _rule(lines, number)[0] + "^", lines[number + 1].strip()
        elif _is_title(lines, number):
            style, title = _rule(lines, number + 1)[0] + "^" * (over == number - 1), line.strip()
        else:
            yield Marked(line)
            continue
        yield Marked(line, levels.setdefault(style, len(levels) + 1), title)


def _is_title(lines: Sequence[str], number: int) -> bool:
    """Whether a line has a rule below it that is as long, and none or the same kind above."""
    line, rule = lines[number], _rule(lines, number + 1)
    if not rule or not line.strip() or line[0] in " \t" or _rule(lines, number):
        return False
    above = _rule(lines, number - 1) if number else ""
    return len(rule) >= len(line.strip()) and above[:1] in ("", rule[0])


def _rule(lines: Sequence[str], number: int) -> str:
    if not 0 <= number < len(lines) or not _RULE.match(lines[number].rstrip("\r\n")):
        return ""
    return lines[number].strip()


def _starts_overline(lines: Sequence[str], number: int) -> bool:
    rule, below = _rule(lines, number), _rule(lines, number + 2)
    if not rule or rule != below or (number and lines[number - 1].strip()):
        return False
    title = lines[number + 1].strip()
    return bool(title) and not _rule(lines, number + 1) and len(title) <= len(rule)


def plain(text: str) -> Iterator[Marked]:
    """No headings at all."""
    return (Marked(line) for line in text.splitlines(keepends=True))


def _plain(heading: str) -> str:
    """A heading as people read it: without link targets, anchors and emphasis."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"\s*\{#[^}]*\}$|[*`]|<[^>]*>", "", text).strip()


MARKS: Mapping[str, Callable[[str], Iterable[Marked]]] = {"markdown": markdown, "rst": rst, "text": plain}
"""By format: its lines with their headings. HTML is made Markdown first (see html.py)."""


def sections(text: str, form: str) -> Iterator[Section]:
    """The document at its headings. A heading with nothing below it belongs to the next section."""
    path: list[str] = []
    held: list[str] = []
    body = False
    twice = -1
    for number, mark in enumerate(MARKS[form](text)):
        if mark.level and twice == number - 1 and path and path[-1] == mark.heading:
            held.append(mark.line)  # an overlined title: the rule above it has opened the section
            continue
        if mark.level:
            if body:
                yield Section(_named(path), "".join(held))
                held, body = [], False
            path = [*path[: mark.level - 1], *[""] * (mark.level - 1 - len(path)), mark.heading]
            twice = number
        elif mark.line.strip() and not _is_underline(mark.line, number, twice):
            body = True
        held.append(mark.line)
    if held:
        yield Section(_named(path), "".join(held))


def _is_underline(line: str, number: int, heading_at: int) -> bool:
    return number - heading_at <= 2 and bool(_RULE.match(line.rstrip("\r\n")))


def _named(path: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in path if name)


def paragraphs(section: str, form: str) -> Iterator[str]:
    """The section at its empty lines, each paragraph with those that follow it; a code fence stays whole."""
    held: list[str] = []
    ended = False
    for mark in MARKS[form](section):
        empty = not mark.line.strip() and not mark.fenced
        if ended and not empty:
            yield "".join(held)
            held = []
        ended = empty
        held.append(mark.line)
    if held:
        yield "".join(held)

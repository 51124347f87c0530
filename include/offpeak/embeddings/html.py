"""HTML as Markdown that keeps its structure: headings, paragraphs, lists, tables, code; no scripts or styles."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

_DROPPED = frozenset({"script", "style", "template", "noscript", "svg", "iframe", "object", "canvas"})
_BLOCKS = frozenset(
    {
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "dd",
            "details",
            "div",
            "dl",
            "dt",
            "fieldset",
        ),
        *(
            "figcaption",
            "figure",
            "footer",
            "form",
            "header",
            "hr",
            "html",
            "main",
            "nav",
            "ol",
            "p",
            "section",
        ),
        *("summary", "table", "tbody", "tfoot", "thead", "ul"),
    }
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}


class Page(NamedTuple):
    """What a page says."""

    title: str
    """Of the `title` element; empty without one."""
    text: str
    """Markdown."""


def read_html(source: str) -> Page:
    """Never raises: a browser reads broken pages, too, and so does this."""
    reader = _Reader()
    reader.feed(source)
    reader.close()
    reader.cut()
    return Page(" ".join("".join(reader.title).split()), "\n\n".join(reader.blocks) + "\n")


class _Reader(HTMLParser):
    """Collects the words of one block after the other."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.blocks: list[str] = []
        self._words: list[str] = []
        self._lead = ""
        self._dropped: list[str] = []
        self._code = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropped:
            if tag in _DROPPED:
                self._dropped.append(tag)
            return
        if tag in _DROPPED:
            self._dropped.append(tag)
        elif tag == "title":
            self._in_title = True
        elif tag == "pre":
            self.cut()
            self._code += 1
        elif tag in _HEADINGS:
            self.cut("#" * _HEADINGS[tag] + " ")
        elif tag == "li":
            self.cut("- ")
        elif tag == "tr" or tag in _BLOCKS:
            self.cut()
        elif tag in ("td", "th") and "".join(self._words).strip():
            self._words.append(" | ")
        elif tag == "br":
            self._words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            if tag == self._dropped[-1]:
                self._dropped.pop()
            return
        if tag == "title":
            self._in_title = False
        elif tag == "pre" and self._code:
            self.cut()
            self._code -= 1
        elif tag in _HEADINGS or tag in _BLOCKS or tag in ("li", "tr"):
            self.cut()

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._dropped:
            self._words.append(data)

    def cut(self, lead: str = "") -> None:
        """End the block that is being read, and begin one with `lead` before its words."""
        words = "".join(self._words)
        if self._code:
            block = words.strip("\n")
            fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", block)), default=0))
            text = f"{fence}\n{block}\n{fence}" if block.strip() else ""
        else:
            lines = (" ".join(line.split()) for line in words.split("\n"))
            text = (" " if self._lead.startswith("#") else "\n").join(line for line in lines if line)
            if not self._lead:
                text = re.sub(r"^(\s{0,3})(#|```|~~~|---|===)", r"\1\\\2", text, flags=re.MULTILINE)
        if text:
            self.blocks.append(self._lead + text if not self._code else text)
        self._words, self._lead = [], lead

"""What the tests of the docs share: the pages, and their tables, code blocks and links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"(?<!\\)\|")


class Block(NamedTuple):
    """One fenced block of a page."""

    page: Path
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.name}: {self.text.strip().splitlines()[0][:50]}"


def blocks(language: str) -> list[Block]:
    """The fenced blocks of all pages in this language."""
    found = [
        Block(page, *match) for page in PAGES for match in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]
    return [block for block in found if block.language == language]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def inline(page: Path) -> list[str]:
    """What stands in backticks outside fenced blocks."""
    return re.findall(r"`([^`]+)`", prose(page))


def table(page: str, head: str) -> list[list[str]]:
    """The cells of the table in `docs/<page>` whose first column is headed `head`, without the head."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {head} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in _CELL.split(line)[1:-1]])
    return rows


def words(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}

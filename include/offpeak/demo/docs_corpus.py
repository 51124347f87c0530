"""A corpus for the demo: Offpeak's own pages, and what becomes of them until the second night."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from offpeak.errors import SpecError

ROWS = "docs/pages.parquet"
EDITED, DELETED = "docs/running.md", "docs/nights.md"
MOVED, MOVED_TO = "docs/rows.md", "docs/guides/rows.md"
ADDED = "docs/guides/quiet-hours.md"
CHANGED = "one page was edited, one moved, one deleted, and one is new"
_EDIT = "\n## A second night\n\nThe corpus was edited since: this section is new, and nothing else is embedded again.\n"
_NEW = """# Quiet hours

Batches are cheapest when nobody waits for them.

## When they run

A nightly run begins after the last change of the day and is published before the first reader comes.
"""
PROJECT = Path(__file__).resolve().parents[3]


def write(store: Path, root: Path = PROJECT) -> None:
    """Put the pages of the project at `root` into the store. SpecError when it has none."""
    _put(store, pages(root))


def change(store: Path, root: Path = PROJECT) -> None:
    """The pages of the second night, made from those of the first: the same again when called again."""
    second = dict(pages(root))
    second[EDITED] += _EDIT
    second[MOVED_TO] = second.pop(MOVED)
    del second[DELETED]
    second[ADDED] = _NEW
    _put(store, second)


def pages(root: Path) -> Mapping[str, str]:
    """Each page's text by its path. SpecError when there are none."""
    found = sorted((root / "docs").rglob("*.md"))
    if not found:
        raise SpecError(f"There are no pages in {root / 'docs'}. Call the demo in the project's own folder.")
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in found}


def _put(store: Path, made: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from offpeak.store import Store

    titles = [Path(name).stem.replace("_", " ").replace("-", " ").capitalize() for name in made]
    table = pa.table({"doc_path": list(made), "title": titles, "text": list(made.values())})
    with Store(str(store)).writing(ROWS) as path:
        pq.write_table(table, path, compression="zstd")

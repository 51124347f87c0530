"""`python -m tests.bench`: measures Offpeak beside what would otherwise be run. See docs/performance.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.bench.contenders import BY_WISH, ONCE, PARTS, contenders
from tests.bench.measuring import Inputs, measure
from tests.bench.record import QUICK_ROWS, Record, record_of, remember
from tests.bench.scratch import prepare, rows_of_part
from tests.bench.table import lines_of, write_page

SIZES = (100_000, 1_000_000)
CHECKED_ROWS = 1_000_000
"""Above this, contenders are not compared by what came out: that would take longer than the work."""
TURNS = {"whole": 1, "polling": 1, "airflow": 1, "startup": 5}
"""Of the parts where it is not what was asked for: long ones, and a short one."""


def tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def main(arguments: list[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    parts = given.only or [name for name in PARTS if name not in BY_WISH]
    found: list[Record] = []
    sizes = given.size or SIZES
    for part, size in _wanted(parts, sizes):
        found.append(_part(part, size, repeat=TURNS.get(part, given.repeat), scratch=given.scratch))
        sys.stdout.write("\n".join(lines_of(found[-1])) + "\n\n")
        sys.stdout.flush()
    kept = [one for one in found if max(sizes) >= QUICK_ROWS]
    if kept and not given.dry:
        remember(kept)
        write_page()
        tell("docs/performance.md is written anew")


def _wanted(parts: Sequence[str], sizes: Sequence[int]) -> Iterator[tuple[str, int]]:
    """(part, size); 0 for a part that does not depend on it."""
    yield from (
        (part, size) for size in sizes for part in parts if contenders(part, size) and part not in ONCE
    )
    yield from ((part, 0) for part in parts if part in ONCE)


def _part(part: str, size: int, *, repeat: int, scratch: Path | None) -> Record:
    rows = rows_of_part(part, size)
    with tempfile.TemporaryDirectory(prefix="offpeak-bench-", dir=scratch) as place:
        tell(f"{part}, {rows:,} rows: preparing")
        inputs = _prepared(part, rows, Path(place))
        tell(f"{part}, {rows:,} rows: measuring")
        made = measure(contenders(part, rows), inputs, repeat=repeat, check=rows <= CHECKED_ROWS, tell=tell)
    return record_of(part, size, rows, made)


def _prepared(part: str, rows: int, scratch: Path) -> Inputs:
    """In a process of its own: what the generators hold in memory is not to be there while others are measured."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(prepare, part, rows, scratch).result()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--size", type=int, nargs="*", help="rows [default: 100000 1000000]")
    parser.add_argument("--repeat", type=int, default=3, help="turns of every contender [default: 3]")
    parser.add_argument("--only", nargs="*", choices=[*PARTS], help="these parts [default: all but airflow]")
    parser.add_argument("--scratch", type=Path, help="where inputs and outputs lie meanwhile")
    parser.add_argument("--dry", action="store_true", help="do not write docs/performance.md")
    return parser


if __name__ == "__main__":
    main()

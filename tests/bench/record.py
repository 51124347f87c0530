"""What was measured, kept beside the bench: the page is written from it, and later runs replace what they measure."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tests.bench.measuring import Measured

FILE = Path(__file__).with_name("measured.json")
QUICK_ROWS = 100_000
"""A run over fewer rows is for a look, and is not kept."""
_PACKAGES = (
    *("pyarrow", "duckdb", "pandas", "numpy", "orjson", "pydantic"),
    *("openai", "anthropic", "apache-airflow-providers-common-ai"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The medians of one contender."""

    contender: str
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    imports_mb: float
    written_mb: float
    extra: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One part at one size."""

    part: str
    size: int
    """Rows that the bench was asked for."""
    rows: int
    """Rows that the part worked on."""
    repeat: int
    machine: str
    versions: str
    date: str
    lines: tuple[Line, ...]

    def line(self, contender: str) -> Line | None:
        return next((one for one in self.lines if one.contender == contender), None)


def record_of(part: str, size: int, rows: int, measured: Sequence[Measured]) -> Record:
    """The medians of a part, with where and when they were measured."""
    return Record(
        part=part,
        size=size,
        rows=rows,
        repeat=len(measured[0].times),
        machine=_machine(),
        versions=_versions(),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        lines=tuple(_line(one) for one in measured),
    )


def _line(one: Measured) -> Line:
    names = one.times[0].extra or {}
    return Line(
        contender=one.contender.name,
        wall_seconds=round(one.median("wall_seconds"), 3),
        cpu_seconds=round(one.median("cpu_seconds"), 3),
        peak_mb=round(one.median("peak_bytes") / 1e6, 1),
        imports_mb=round(one.median("imports_bytes") / 1e6, 1),
        written_mb=round(one.median("written_bytes") / 1e6, 1),
        extra={name: round(one.extra(name), 3) for name in names},
    )


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{os.cpu_count()} cores, {memory / 2**30:.0f} GB"


def _versions() -> str:
    found = [f"{name} {metadata.version(name)}" for name in _PACKAGES]
    return ", ".join([f"Python {platform.python_version()}", *found])


def records(file: Path = FILE) -> list[Record]:
    """Everything that was kept, in the order of sizes."""
    if not file.exists():
        return []
    found = json.loads(file.read_text(encoding="utf-8"))
    made = [Record(**{**one, "lines": tuple(Line(**line) for line in one["lines"])}) for one in found]
    return sorted(made, key=lambda one: one.size)


def remember(new: Sequence[Record], file: Path = FILE) -> None:
    """Keep these, each in place of an earlier one of its part and size."""
    kept = {(one.part, one.size): one for one in [*records(file), *new]}
    listed = [asdict(kept[name]) for name in sorted(kept)]
    file.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")

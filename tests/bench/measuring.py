"""Measuring a part: its contenders in turn, each in a fresh process, as often as asked."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.contenders import Contender

ROOT = Path(__file__).resolve().parents[2]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Where a part's inputs are, and where its contenders may write."""

    data: Path
    warm: Path | None
    """The same for a few rows, done first; None where that makes no sense."""
    scratch: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One repetition of one contender."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    imports_bytes: int
    """Of the peak: what was in memory before the work began."""
    written_bytes: int
    count: int | None = None
    digest: str = ""
    extra: dict[str, float] | None = None
    """What else this part measures, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A contender's repetitions."""

    contender: Contender
    times: tuple[Measure, ...]

    def median(self, name: str) -> float:
        """The median of one of the measures."""
        return float(statistics.median(getattr(time, name) for time in self.times))

    def extra(self, name: str) -> float:
        return statistics.median((time.extra or {})[name] for time in self.times)


class Disagreement(Exception):
    """Two contenders made different things of the same input."""


def measure(
    contenders: Sequence[Contender], inputs: Inputs, *, repeat: int, check: bool, tell: Tell
) -> list[Measured]:
    """Run every contender `repeat` times, in turns; with `check`, compare what the first turn gave.

    Where there are several, one runs beforehand and is not counted: on a virtual machine whoever first writes gigabytes
    waits for memory that the host has yet to give.
    Raises Disagreement when that differs, RuntimeError with the end of what a contender said when it failed.
    """
    times: dict[str, list[Measure]] = {one.name: [] for one in contenders}
    if len(contenders) > 1:
        _run(contenders[0], inputs, check=False)
    for turn in range(repeat):
        for one in contenders:
            made = _run(one, inputs, check=check and turn == 0)
            times[one.name].append(made)
            tell(
                f"  {turn + 1}/{repeat} {one.name}: {made.wall_seconds:.2f} s, CPU {made.cpu_seconds:.2f} s, "
                f"peak {made.peak_bytes / 1e6:,.0f} MB"
            )
        if turn == 0:
            compare({name: made[0] for name, made in times.items()})
    return [Measured(contender=one, times=tuple(times[one.name])) for one in contenders]


def compare(firsts: dict[str, Measure]) -> None:
    """Raises Disagreement when what came out is not the same for all."""
    found = {name: (one.count, one.digest) for name, one in firsts.items() if one.digest}
    if len(set(found.values())) > 1:
        listed = "; ".join(f"{name}: {count:,} ({digest})" for name, (count, digest) in found.items())
        raise Disagreement(f"The contenders do not agree on what came out. {listed}")


def _run(one: Contender, inputs: Inputs, *, check: bool) -> Measure:
    out = inputs.scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    spec = {
        "module": one.module,
        "variant": one.variant,
        "data": str(inputs.data),
        "warm": str(inputs.warm or ""),
        "out": str(out),
        "check": check,
    }
    # Airflow writes its settings to where it is told at its import, and nobody's own are to be touched
    env = {**os.environ, "AIRFLOW_HOME": str(inputs.scratch / "airflow"), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.child", json.dumps(spec)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{one.name} failed:\n{done.stderr[-3000:]}")
    shutil.rmtree(out)
    told: dict[str, Any] = json.loads(
        next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{"))
    )
    return Measure(**told)

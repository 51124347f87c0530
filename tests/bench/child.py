"""One repetition of one contender, in this fresh process: `python -m tests.bench.child SPEC`.

SPEC is a JSON object: `module`, `variant`, `data`, `warm`, `out`, `check`. The work is first done on a few rows
(`warm`), so that imports and what is made once per process are not measured. The last line on stdout is the measure.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import cast

from tests.bench.work import Place, Work


def main(spec: str) -> None:
    told = json.loads(spec)
    out, variant = Path(told["out"]), told["variant"]
    work = cast(Work, import_module(f"tests.bench.contenders.{told['module']}"))
    if told["warm"]:
        _warm_up(work, Place(data=Path(told["warm"]), out=out / "warm", variant=variant))
    place = Place(data=Path(told["data"]), out=out / "out", variant=variant)
    place.out.mkdir()
    work.prepare(place)
    gc.collect()
    made = _measured(work, place)
    if told["check"] and (outcome := work.outcome(place)) is not None:
        made |= {"count": outcome.count, "digest": outcome.digest}
    sys.stdout.write("\n" + json.dumps(made) + "\n")


def _warm_up(work: Work, place: Place) -> None:
    place.out.mkdir()
    work.prepare(place)
    work.run(place)


def _measured(work: Work, place: Place) -> dict[str, object]:
    before = _peak_bytes()
    cpu, began = _cpu_seconds(), time.perf_counter()
    work.run(place)
    wall, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
    peak = _peak_bytes()
    return {
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "peak_bytes": peak,
        "imports_bytes": before,
        "written_bytes": _written(place.out.rglob("*")),
        "extra": getattr(work, "EXTRA", {}),
    }


def _cpu_seconds() -> float:
    """User and system time of this process, its threads and the children that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_bytes() -> int:
    """The most that this process had in memory. Linux's ru_maxrss begins with the parent's; VmHWM does not."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _written(paths: Iterable[Path]) -> int:
    """Bytes in files that nobody else has a name for: what was copied by link is not counted."""
    return sum(path.stat().st_size for path in paths if path.is_file() and path.stat().st_nlink == 1)


if __name__ == "__main__":
    main(sys.argv[1])

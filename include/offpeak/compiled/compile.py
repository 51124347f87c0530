"""Compiling for this environment: `python -m offpeak.compiled.compile`.

Any C compiler will do: $CC, cc, gcc, clang, or the one in the package ziglang, which is there for every system. With
none of them Offpeak works as well, only slower.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from offpeak.compiled.library import UNITS, loaded, place

_OPTIONS = ("-O3", "-std=c11", "-shared", "-fPIC")


def compilers() -> Iterator[list[str]]:
    """Commands that compile C here, the one that was asked for first."""
    if named := os.environ.get("CC"):
        yield shlex.split(named)
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            yield [found]
    if find_spec("ziglang"):
        # by itself it makes code for this very processor, and an image may run on another
        yield [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]


def compile_all(into: Path) -> str:
    """Compile into this file. Why it failed, "" when it did not."""
    failures = []
    into.parent.mkdir(parents=True, exist_ok=True)
    for command in compilers():
        with tempfile.TemporaryDirectory(dir=into.parent) as folder:
            made = Path(folder) / into.name
            try:
                told = subprocess.run(  # noqa: S603 - a compiler of this machine
                    [*command, *_OPTIONS, "-o", str(made), *map(str, UNITS)],
                    capture_output=True,
                    text=True,
                    check=False,
                    env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder},
                )
            except OSError as error:
                failures.append(f"{shlex.join(command)}: {error}")
                continue
            if told.returncode == 0 and loaded(made) is not None:
                made.replace(into)
                return ""
            failures.append(
                f"{shlex.join(command)}: {told.stderr.strip()[-500:] or 'what it made does not load'}"
            )
    return "; ".join(failures) or "no C compiler was found (cc, gcc, clang, or the package ziglang)"


def main() -> None:
    """Compile unless it is there already; say what was done. Never fails: everything is there in Python, too."""
    into = place()
    if loaded(into) is not None:
        return
    if failed := compile_all(into):
        sys.stderr.write(
            f"Offpeak does without its compiled code, and builds and collects slower: {failed}\n"
        )
        return
    for older in into.parent.glob("offpeak-*.so"):
        if older != into:
            older.unlink(missing_ok=True)
    sys.stderr.write(f"Compiled {into}\n")


if __name__ == "__main__":
    main()

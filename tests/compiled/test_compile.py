"""The code is compiled where there is any C compiler, and its absence is told, not suffered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from offpeak.compiled import compile as compiling
from offpeak.compiled.library import SOURCES, SWITCH, loaded, place

HAS_COMPILER = pytest.mark.skipif(not [*compiling.compilers()], reason="no C compiler here")
READ = """
from offpeak.compiled.library import library
from offpeak.providers.openai_columns import compiled_lines
from offpeak.blocks import Block
print(library() is not None, compiled_lines(Block.of([b"{}"]), None) is not None)
"""


@HAS_COMPILER
def test_any_compiler_will_do_and_one_that_fails_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", f"{sys.executable} -c raise(SystemExit(3))")
    made = tmp_path / "new" / "reader.so"
    assert compiling.compile_all(made) == ""
    assert loaded(made) is not None
    assert [path.name for path in made.parent.iterdir()] == ["reader.so"], "nothing else is left there"


def test_without_a_compiler_it_is_said_what_would_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "compilers", lambda: iter(()))
    monkeypatch.setattr(compiling, "place", lambda: tmp_path / "reader.so")
    compiling.main()
    said = capsys.readouterr().err
    assert "does without its compiled code" in said
    assert "ziglang" in said
    monkeypatch.setattr(
        compiling, "compilers", lambda: iter([["/nowhere/cc"], [sys.executable, "-c", "pass"]])
    )
    failed = compiling.compile_all(tmp_path / "reader.so")
    assert "/nowhere/cc" in failed
    assert "does not load" in failed
    assert not [*tmp_path.iterdir()]


@HAS_COMPILER
def test_what_was_compiled_of_other_sources_makes_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "place", lambda: tmp_path / "offpeak-x-new.so")
    (tmp_path / "offpeak-x-old.so").write_bytes(b"no library")
    compiling.main()
    compiling.main()
    assert [path.name for path in tmp_path.iterdir()] == ["offpeak-x-new.so"]
    assert capsys.readouterr().err.count("Compiled") == 1, "once is enough"


def test_its_name_tells_of_which_sources_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in SOURCES:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    copies = tuple(tmp_path / path.name for path in SOURCES)
    before = place()
    monkeypatch.setattr("offpeak.compiled.library.SOURCES", copies)
    assert place() == before
    copies[-1].write_bytes(copies[-1].read_bytes() + b"\n")
    assert place() != before


@pytest.mark.parametrize(("switch", "there"), [("no", False), ("", place().exists()), (__file__, False)])
def test_it_can_be_left_unused(switch: str, there: bool) -> None:
    told = subprocess.run(
        [sys.executable, "-c", READ],
        env=os.environ | {SWITCH: switch},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [str(there)] * 2

"""A module imported lazily is loaded when something in it is used, and is the same module then."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from offpeak.importing import lazily

_GREAT_EXPECTATIONS = """
import sys
from offpeak import gxe
from offpeak.checks.engine import Engine
engine = Engine()
import pandas as pd
seldom = ("scipy.stats._stats_py", "altair.vegalite")
frame = pd.DataFrame({"kind": ["card", "card", "refund", None], "urgent": [1, 0, 1, 1]})
usual = [
    gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=["card"], mostly=0.9),
    gxe.ExpectColumnMeanToBeBetween(column="urgent", min_value=0.7, max_value=0.8),
]
print([found.success for found in engine.judge(frame, usual)], [name in sys.modules for name in seldom])
shares = {"values": ["card", "refund"], "weights": [0.66, 0.34]}
drift = gxe.ExpectColumnKLDivergenceToBeLessThan(column="kind", partition_object=shares, threshold=0.1)
(found,) = engine.judge(frame.dropna(), [drift])
print(found.success, found.error, seldom[0] in sys.modules)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose module `inner.deep` notes in `sys` that it was loaded."""
    name = f"package_{tmp_path.name}"
    (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "inner" / "__init__.py").write_text("from . import deep\n")
    (tmp_path / name / "inner" / "deep.py").write_text(f"import sys\nsys.loaded_{name} = True\nvalue = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_it_is_loaded_at_its_first_use(package: str) -> None:
    enabled, finders = gc.isenabled(), [*sys.meta_path]
    with lazily(f"{package}.inner.deep"):
        __import__(f"{package}.inner")
        assert not gc.isenabled()
    deep = sys.modules[f"{package}.inner.deep"]
    assert not hasattr(sys, f"loaded_{package}")
    assert deep.value == 3
    assert hasattr(sys, f"loaded_{package}")
    assert (gc.isenabled(), sys.meta_path) == (enabled, finders)


def test_what_is_not_named_and_what_is_imported_afterwards_is_loaded_at_once(package: str) -> None:
    with lazily("another"):
        pass
    __import__(f"{package}.inner")
    assert hasattr(sys, f"loaded_{package}")


def test_a_module_that_is_not_there_is_still_missing() -> None:
    with lazily("no_such_module_at_all"), pytest.raises(ModuleNotFoundError):
        __import__("no_such_module_at_all")


def test_great_expectations_is_imported_without_scipy_and_judges_with_it() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _GREAT_EXPECTATIONS], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == ["[False, True] [False, False]", "True  True"]


_LOGGED = """
import logging

logging.basicConfig(level=logging.INFO)
{before}
from offpeak.checks.engine import imported

imported()
print(logging.getLogger("great_expectations").level)
"""


@pytest.mark.parametrize(
    ("before", "level"),
    [("", logging.WARNING), ('logging.getLogger("great_expectations").setLevel(20)', logging.INFO)],
)
def test_great_expectations_notes_about_its_documentation_are_in_no_log_but_where_they_are_wanted(
    before: str, level: int
) -> None:
    code = _LOGGED.format(before=before)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(level)]
    assert ("Skipping registering" in told.stderr) == (level == logging.INFO)

"""DAG files read for their workloads: found by name, and broken ones told with their line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from offpeak.dag_files import load, only_workloads, workloads
from offpeak.errors import SpecError

HEAD = """
from typing import Literal
from pydantic import BaseModel
from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.on_airflow import workload_dag


class Kind(BaseModel):
    kind: Literal["a", "b"]


def made(name, **more):
    return Workload(
        name=name, rows=parquet("x.parquet", key="id"), prompt=Prompt(user="{{ row.text }}"),
        answer=Kind, model="openai:gpt-5-mini", into=parquet_table("{store}/t"), **more,
    )
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def dag_file(folder: Path, body: str, name: str = "tickets.py") -> Path:
    path = folder / name
    path.write_text(HEAD + body)
    return path


def test_the_only_workload_is_found_and_no_dag_is_made(folder: Path) -> None:
    path = dag_file(folder, 'tickets = made("sorting")\ndag = workload_dag(tickets, schedule="@hourly")\n')
    assert load(str(path)).name == "sorting"
    assert "airflow" not in sys.modules or workloads(path)
    assert only_workloads.get() is False


def test_one_of_several_is_found_by_its_name_or_its_variable(folder: Path) -> None:
    path = dag_file(folder, 'one = made("first")\ntwo = made("second")\nalso_two = two\n')
    assert load(f"{path}:second").name == "second"
    assert load(f"{path}:one").name == "first"
    assert set(workloads(path)) == {"one", "two", "also_two"}
    with pytest.raises(SpecError) as caught:
        load(str(path))
    assert f"{path} defines several workloads; write one of them as {path}:NAME" in str(caught.value)
    assert "There are: first, second." in str(caught.value)
    with pytest.raises(SpecError, match="has no workload 'third'"):
        load(f"{path}:third")


def test_two_workloads_of_one_name_are_refused(folder: Path) -> None:
    path = dag_file(folder, 'one = made("same")\ntwo = made("same")\n')
    with pytest.raises(SpecError, match="two workloads named 'same'"):
        load(f"{path}:same")


def test_two_variables_for_one_workload_are_one(folder: Path) -> None:
    assert load(str(dag_file(folder, 'one = two = made("same")\n'))).name == "same"


def test_the_files_own_folder_is_importable_while_it_is_read(folder: Path) -> None:
    (folder / "shared_answers_of_test.py").write_text("NAME = 'shared'\n")
    path = dag_file(folder, "from shared_answers_of_test import NAME\nw = made(NAME)\n")
    before = list(sys.path)
    assert load(str(path)).name == "shared"
    assert sys.path == before


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("x = (", "was never closed"),
        ("x = 1 / 0\n", "ZeroDivisionError: division by zero"),
        ("import nowhere_at_all\n", "No module named 'nowhere_at_all'"),
        ('w = made("Bad Name")\n', "Workload 'Bad Name': 1 mistake."),
        ("def f():\n    raise KeyError('inner')\nf()\n", "KeyError: 'inner'"),
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_a_broken_file_is_told_with_its_line(
    folder: Path, body: str, says: str, relative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dag_file(folder, body)
    monkeypatch.chdir(folder)
    with pytest.raises(SpecError) as caught:
        load("tickets.py" if relative else str(path))
    assert says in str(caught.value)
    assert "tickets.py, line " in str(caught.value)
    assert "line ?" not in str(caught.value)
    assert str(folder) not in sys.path


def test_what_is_no_dag_file_is_told(folder: Path) -> None:
    with pytest.raises(SpecError, match="There is no DAG file"):
        load(str(folder / "none.py"))
    (folder / "notes.txt").write_text("x")
    with pytest.raises(SpecError, match="is not a Python file"):
        load(str(folder / "notes.txt"))
    with pytest.raises(SpecError, match="defines no Workload at its top level"):
        load(str(dag_file(folder, "")))

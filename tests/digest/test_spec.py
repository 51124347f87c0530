"""The spec: every mistake is found when the file is parsed, with its cure."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offpeak.dag_files import load_spec
from offpeak.digest import Digest
from offpeak.errors import SpecError
from offpeak.pipeline import Pipelined
from tests.digest.making import Desk
from tests.docs.reading import table, words

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"group": "headline"}, "group='headline' is a column of the digest's own table; rename it"),
        ({"about": "{{ row.x }}"}, "say in plain words what the items are"),
        ({"link": "javascript:{item}"}, "give an http(s) address with {item} in it"),
        ({"link": "https://desk.example"}, "give an http(s) address with {item} in it"),
        ({"statements": (5, 3)}, "statements=(5, 3): give at least and at most"),
        ({"levels": 0}, "levels=0: give 1 to 6"),
        ({"window_tokens": 100}, "a window must hold what several are condensed to"),
        ({"zone": "Berlin"}, "zone='Berlin' is no time zone"),
        ({"zone": "../etc/passwd"}, "is no time zone"),
        ({"name": "x" * 51}, "give at most 50"),
        ({"text": ""}, "name the column that is to be read"),
        ({"items": "tickets.parquet"}, "give parquet(...)"),
        ({"model": "gpt"}, "write it as provider:model"),
        ({"statement_characters": 5}, "give 60 to 2,000"),
        ({"language": ""}, "name a language"),
    ],
)
def test_a_mistake_is_told_with_its_cure(desk: Desk, change: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        desk.digest(**change)
    assert said in str(caught.value)


def test_several_mistakes_are_told_at_once(desk: Desk) -> None:
    with pytest.raises(SpecError, match=r"2 to correct\.\n  - levels=9.*\n  - zone='Mars'"):
        desk.digest(levels=9, zone="Mars")


def test_the_dag_file_is_a_pipeline_of_three_stages_in_at_most_40_lines() -> None:
    spec = load_spec(str(ROOT / "dags" / "daily_digest.py"))
    assert isinstance(spec, Pipelined)
    assert [stage.name for stage in spec.pipeline.stages()] == [
        "daily_digest__condense_1",
        "daily_digest__condense_2",
        "daily_digest",
    ]
    assert len((ROOT / "dags" / "daily_digest.py").read_text("utf-8").splitlines()) <= 40


def test_the_arguments_of_a_digest_are_listed_as_they_are() -> None:
    listed = {words(name)[0]: default.strip("`") for name, _, default in table("digest.md", "argument")}
    assert listed == {field.name: _default(field) for field in dataclasses.fields(Digest)}


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return "required" if field.default_factory is dataclasses.MISSING else repr(field.default_factory())


def test_a_digest_is_declared_without_the_heavy_libraries() -> None:
    code = (
        "import sys; from offpeak import parquet, parquet_table; from offpeak.digest import Digest\n"
        "Digest(name='d', items=parquet('x.parquet', key='k'), text='t', about='notes', model='openai:gpt-5-mini',"
        " into=parquet_table('t'))\n"
        "print(sorted({'pyarrow', 'pandas', 'duckdb', 'sqlalchemy', 'great_expectations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

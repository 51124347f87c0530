"""Workloads: every mistake is found when the file is parsed, all at once, each with its cure."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, create_model

import offpeak
from offpeak import Prompt, Vector, Workload, duckdb_table, gxe, parquet
from offpeak.errors import SpecError
from offpeak.prices import Price, Rates
from tests.core.making import Kind, settings, workload

ROOT = Path(__file__).resolve().parents[2]


def mistakes(**changes: Any) -> list[str]:
    """What the author of a DAG file reads, mistake by mistake."""
    with pytest.raises(SpecError) as caught:
        workload(**changes)
    head, *listed = str(caught.value).split("\n  - ")
    count = "1 mistake" if len(listed) == 1 else f"{len(listed)} mistakes"
    assert head == f"Workload {changes.get('name', 'sorting')!r}: {count}."
    return listed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "Ticket-Triage"}, "use lower-case letters, digits and '_'"),
        ({"name": "tickets\n"}, "use lower-case letters"),
        ({"name": "x" * 64}, "at most 63"),
        ({"name": None}, "name=None"),
        ({"rows": "in.parquet"}, "rows='in.parquet': give parquet(...), csv(...), jsonl(...) or sql(...)"),
        ({"prompt": "{{ row.text }}"}, "give Prompt(system=..., user=...)"),
        ({"prompt": Prompt(user="Sort { row.text }")}, "says the same for every row"),
        ({"into": "table"}, "give parquet_table(...), duckdb_table(...) or postgres_table(...)"),
        ({"model": "gpt-5-mini"}, "write it as provider:model, e.g. openai:gpt-5-mini"),
        ({"model": "openai:"}, "write it as provider:model"),
        ({"model": None}, "write it as provider:model"),
        ({"model": "openay:gpt-5"}, "openay"),
        ({"endpoint": "completions"}, "no endpoint 'completions'"),
        ({"endpoint": None}, "endpoint=None"),
        ({"params": {"stream": True}}, "'stream'"),
        ({"params": {"when": timedelta(1)}}, "give a dict of plain JSON values"),
        ({"params": None}, "give a dict of plain JSON values"),
        ({"answer": dict}, "Give a pydantic model class, str, or Vector(dimensions)"),
        ({"answer": create_model("M", v=(dict[str, int], ...))}, "has no table column"),
        ({"rounds": 0}, "rounds=0: give 1 to 5"),
        ({"rounds": "3"}, "rounds='3': give 1 to 5"),
        ({"canary": "yes"}, "canary='yes': give 0 for none"),
        ({"canary": -1}, "canary=-1: give 0 for none"),
        ({"policy": {"refused": 3}}, "give a dict such as"),
        ({"policy": {"cancelled": "same"}}, "policy names 'cancelled'"),
        ({"policy": {"refused": "often"}}, "policy['refused']='often'; say one of no, same"),
        ({"max_failed": 1.5}, "max_failed=1.5: give a share between 0 and 1"),
        ({"max_failed": float("nan")}, "give a share between 0 and 1"),
        ({"max_failed": None}, "give a share between 0 and 1"),
        ({"max_output_tokens": 2.5}, "give a whole number"),
        ({"shard_requests": 0}, "shard_requests=0: give at least 1"),
        ({"shard_requests": "many"}, "give a whole number"),
        ({"budget_usd": "much"}, "budget_usd='much' is not an amount; give Decimal('5')"),
        ({"budget_usd": Decimal(-1)}, "give an amount of at least 0"),
        ({"budget_usd": Decimal("NaN")}, "give an amount of at least 0"),
        ({"budget_usd": [5]}, "is not an amount"),
        ({"model": "openai:my-own", "budget_usd": 5}, "the price of openai:my-own is not known"),
        (
            {"budget_usd": 5, "price": Price(realtime=Rates(input=Decimal(1), output=Decimal(2)))},
            "what a batch of openai:gpt-5-mini costs is not known",
        ),
        ({"price": 0.25}, "give Price(realtime=..., batch=...)"),
        ({"due": 45}, "timedelta(minutes=45)"),
        ({"due": "noon"}, "'07:00 Europe/Berlin'"),
        ({"due": timedelta(0)}, "give a positive duration"),
        ({"keep": "text"}, "give a list of column names"),
        ({"keep": [""]}, "give a list of column names"),
        ({"keep": ["id"]}, "keep='id': the key is published anyway; leave it out of keep."),
        ({"keep": ["kind"]}, "The column 'kind' would be there twice, from keep and from the answer"),
        ({"keep": ["text", "text"]}, "'text' would be there twice, from keep and from keep"),
        ({"keep": ["Kind"]}, "twice"),
        ({"keep": ["_cost_usd"]}, "from keep and from provenance"),
        ({"keep": ["_raw"]}, "from keep and from Offpeak's own files"),
        ({"rows": parquet("x.parquet", key="kind")}, "from the key and from the answer"),
        ({"checks": gxe.ExpectColumnValuesToNotBeNull(column="kind")}, "give a list of expectations"),
        ({"checks": [gxe.ExpectColumnValuesToNotBeNull(column="kindd")]}, "kindd"),
        ({"checks": ["kind is not null"]}, "kind is not null"),
    ],
    ids=str,
)
def test_each_mistake_is_found_alone_and_told_with_its_cure(change: dict[str, Any], says: str) -> None:
    (listed,) = mistakes(**change)
    assert says in listed


def test_all_mistakes_are_listed_at_once() -> None:
    listed = mistakes(
        name="Tickets",
        model="openai:gpt-5-mini",
        params={"stream": True},
        rounds=9,
        max_failed=2,
        due="noon",
        keep=["kind"],
        budget_usd=-1,
    )
    phrases = (
        "name='Tickets'",
        "'stream'",
        "rounds=9",
        "max_failed=2",
        "due='noon'",
        "'kind'",
        "budget_usd=-1",
    )
    assert len(listed) == len(phrases)
    for phrase in phrases:
        assert sum(phrase in mistake for mistake in listed) == 1, phrase


def test_what_follows_from_a_mistake_is_not_told_as_another() -> None:
    listed = mistakes(rows=None, prompt=None, into=None, answer=None, model=None, keep=None, checks=None)
    assert len(listed) == 7


def test_everything_wrong_in_kind_is_told_and_never_a_traceback() -> None:
    for name in settings():
        for value in (None, 3, object(), "x", [object()], {"a": object()}):
            with suppress(SpecError):
                workload(**{name: value})


def test_an_embedding_takes_no_system_prompt() -> None:
    (listed,) = mistakes(model="openai:text-embedding-3-small", answer=Vector(8))
    assert "put everything into Prompt(user=...)" in listed
    made = workload(
        model="openai:text-embedding-3-small", answer=Vector(8), prompt=Prompt(user="{{ row.text }}")
    )
    assert made.table_columns()[:2] == ["id", "vector"]


def test_an_answer_that_the_table_cannot_hold_is_found() -> None:
    class Cased(BaseModel):
        kind: str
        KIND: str

    listed = mistakes(answer=Cased, into=duckdb_table("warehouse", "t"))
    assert any("KIND" in mistake for mistake in listed)


def test_the_columns_that_a_run_reads_are_the_key_the_kept_and_the_prompts() -> None:
    made = workload(
        keep=["channel"], prompt=Prompt(system="For {{ row.bank }}", user="{{ row.text }}{{ row.id }}")
    )
    assert made.columns_needed() == ("id", "channel", "bank", "text")
    assert workload(prompt=Prompt(user="{{ row }}")).columns_needed() is None


def test_the_tables_columns_are_in_order() -> None:
    assert workload(keep=["text"]).table_columns()[:5] == ["id", "text", "kind", "urgent", "_fingerprint"]


def test_shards_are_as_large_as_asked_within_the_providers_limit() -> None:
    assert workload().shard_limit == 50_000
    assert workload(shard_requests=10).shard_limit == 10
    assert workload(shard_requests=99_999).shard_limit == 50_000


def test_a_price_of_ones_own_comes_before_the_list() -> None:
    price = Price(
        realtime=Rates(input=Decimal(1), output=Decimal(2)), batch=Rates(input=Decimal(1), output=Decimal(1))
    )
    assert workload(model="openai:my-own", price=price, budget_usd=5).priced is price
    assert workload(model="openai:my-own").priced is None


# -- what an import costs


def test_the_public_names_are_there() -> None:
    from offpeak import (  # noqa: F401
        Prompt,
        Vector,
        Workload,
        csv,
        duckdb_table,
        jsonl,
        parquet,
        parquet_table,
        postgres_table,
        sql,
    )

    assert set(offpeak.__all__) == set(dir(offpeak))
    for name in offpeak.__all__:
        assert getattr(offpeak, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Workloads'"):
        _ = offpeak.Workloads


HEAVY = (
    "great_expectations",
    "pandas",
    "pyarrow",
    "duckdb",
    "sqlalchemy",
    "openai",
    "anthropic",
    "boto3",
    "airflow",
)


def child(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.split()


def test_a_dag_file_is_parsed_quickly_and_loads_nothing_heavy() -> None:
    text = (ROOT / "dags" / "ticket_triage.py").read_text()
    source = "\n".join(line for line in text.splitlines() if "workload_dag" not in line)
    # pydantic and its first model are the DAG author's choice, and loaded by Airflow already
    program = (
        "import sys, time\nfrom pydantic import BaseModel, Field\nclass First(BaseModel):\n    x: int\n"
        f"start = time.process_time()\nexec(compile({source!r}, 'dag', 'exec'), globals())\n"
        f"print(time.process_time() - start, *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    runs = [child(program) for _ in range(4)]
    fastest = min(float(seconds) for seconds, *_ in runs)
    assert runs[0][1:] == []
    assert fastest < 0.2, f"parsing took {fastest:.2f} s of CPU"


def test_importing_offpeak_takes_milliseconds() -> None:
    program = (
        "import time; start = time.process_time(); import offpeak, sys\n"
        "print(time.process_time() - start, 'pydantic' in sys.modules)"
    )
    found = [child(program) for _ in range(3)]
    assert min(float(seconds) for seconds, _ in found) < 0.05
    assert found[0][1] == "False"


def test_a_workload_reads_no_file_and_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    class Triage(BaseModel):
        kind: Literal["a", "b"]

    Workload(**settings(answer=Triage, rows=parquet("nowhere/*.parquet", key="id")))
    assert list(tmp_path.iterdir()) == []
    assert Kind.model_fields

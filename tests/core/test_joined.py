"""Assembling any run gives what an obvious slow join gives, for texts and for vectors."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak import Prompt, Vector, matching, row_files
from offpeak import assemble as assembling
from offpeak import letters as lettering
from offpeak.assemble import assemble
from offpeak.errors import ReconcileError
from offpeak.layout import layout_of
from offpeak.ledger import Run
from offpeak.results import result_schema
from offpeak.site import Site
from offpeak.states import RunState
from offpeak.tables.columns import carried_schema
from offpeak.workload import Workload
from tests.core.making import NOW, read, site, workload

Row = dict[str, Any]
FORMS = {
    "text": workload(keep=["kept"]),
    "vector": workload(
        keep=["kept"],
        model="openai:text-embedding-3-small",
        answer=Vector(3),
        prompt=Prompt(user="{{ row.text }}"),
    ),
}
NOT_ANSWERED = ("invalid", "refused", "truncated", "errored", "expired", "cancelled", "missing")
ROWS = pa.schema(
    [
        ("_ordinal", pa.int64()),
        ("id", pa.string()),
        ("kept", pa.int64()),
        ("_fingerprint", pa.string()),
        ("_system", pa.string()),
        ("_user", pa.string()),
        ("_problem", pa.string()),
        ("_origin", pa.string()),
        ("_number", pa.int64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """The files of a run, as lists of their rows."""

    rows: list[Row]
    decisions: list[str]
    carried: list[Row]
    results: dict[str, list[Row]]
    """By file."""
    listed: frozenset[str]
    """Of these files, the ones of an earlier release: vectors are lists there, not bytes."""


def answer(form: str, number: int) -> Row:
    if form == "vector":
        return {"vector": [float(number), -0.5, 3.25]}
    return {"kind": ("card", "refund", "other")[number % 3], "urgent": number % 2 == 0}


def result(form: str, fingerprint: str, round_number: int, outcome: str, number: int) -> Row:
    answered = outcome == "answered"
    blank = dict.fromkeys(answer(form, 0))
    return {
        **(answer(form, number) if answered else blank),
        "_fingerprint": fingerprint,
        "_model": "m-1" if number % 5 else None,
        "_run": "this",
        "_outcome": outcome,
        "_input_tokens": 10 + number,
        "_output_tokens": number,
        "_cost_usd": Decimal(number).scaleb(-9) if number % 7 else None,
        "_answered_at": NOW if answered else None,
        "_round": round_number,
        "_code": None if answered else f"code {number}",
        "_reason": None if answered else f"reason {number}",
        "_raw": None if answered else f"raw {number}",
    }


@st.composite
def runs(draw: st.DrawFn, form: str) -> Made:
    """A small run: per request how it is got, per row its key and request or what is wrong with it."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    ways = {f"f{n}": chance.choice(["ask", "ask", "ask", "keep", "carry"]) for n in range(6)}
    rows: list[Row] = []
    decisions: list[str] = []
    for ordinal in range(draw(st.integers(0, 14))):
        fingerprint = chance.choice(list(ways))
        kind = chance.choice(["good"] * 6 + ["bad", "no key", "duplicate"])
        key = None if kind == "no key" else f"k{ordinal}"
        if kind == "duplicate" and rows:
            key = rows[chance.randrange(len(rows))]["id"] or key
            decision = "duplicate"
        elif kind in ("bad", "no key"):
            decision = "bad"
        else:
            seen = any(
                row["_fingerprint"] == fingerprint and done not in ("bad", "duplicate")
                for row, done in zip(rows, decisions, strict=True)
            )
            decision = "fold" if seen and ways[fingerprint] == "ask" else ways[fingerprint]
        problem = "it has a problem" if decision == "bad" or chance.random() < 0.1 else None
        blank = decision == "bad" and chance.random() < 0.5
        rows.append(
            {
                "_ordinal": ordinal,
                "id": key,
                "kept": chance.choice([None, ordinal]),
                "_fingerprint": None if blank else fingerprint,
                "_system": "system",
                "_user": f"user {ordinal}",
                "_problem": problem if decision in ("bad", "duplicate") else None,
                "_origin": "part-1",
                "_number": ordinal + 1,
            }
        )
        decisions.append(decision)
    return Made(rows=rows, decisions=decisions, **got(form, ways, decisions, rows, chance))


def got(
    form: str, ways: Mapping[str, str], decisions: list[str], rows: list[Row], chance: random.Random
) -> dict[str, Any]:
    """Carried answers of whatever is to be carried and more, and results of one to three rounds of the rest."""
    carried, results = [], {}
    asked = {
        row["_fingerprint"]
        for row, decision in zip(rows, decisions, strict=True)
        if decision in ("ask", "keep", "fold")
    }
    for number, (fingerprint, way) in enumerate(ways.items(), 1):
        if way == "carry":
            carried.append(result(form, fingerprint, 1, "answered", number) | {"_run": "before"})
        elif fingerprint in asked:
            last = chance.randint(1, 3)
            for round_number in range(1, last + 1):
                ends = chance.choice(["answered", *NOT_ANSWERED]) if round_number == last else "invalid"
                name = f"r{round_number}-{chance.randint(1, 3):05d}"
                made = result(form, fingerprint, round_number, ends, number * 3 + round_number)
                results.setdefault(name, []).append(made)
    for held in results.values():
        chance.shuffle(held)
    listed = frozenset(name for name in results if chance.random() < 0.4)
    return {"carried": carried, "results": results, "listed": listed}


def write(folder: Path, of: Workload, made: Made) -> None:
    (folder / "results").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(made.rows, ROWS), folder / "rows.parquet", row_group_size=3)
    plan = {"_ordinal": list(range(len(made.rows))), "decision": made.decisions}
    kinds = pa.schema([("_ordinal", pa.int64()), ("decision", pa.string())])
    pq.write_table(pa.table(plan, kinds), folder / "plan.parquet")
    carried = pa.Table.from_pylist(made.carried, carried_schema(layout_of(of, ROWS)))
    with duckdb.connect() as sql:  # as the carry does it: vectors are lists of any length there
        sql.register("carried", carried)
        sql.execute(f"COPY carried TO '{folder / 'carried.parquet'}' (FORMAT parquet)")
    for name, results in made.results.items():
        path, schema = folder / "results" / f"{name}.parquet", result_schema(of)
        if name in made.listed:
            schema = pa.schema([*of.form.schema(), *list(schema)[len(of.form.columns) :]])
        else:
            results = [packed(row) for row in results]
        pq.write_table(pa.Table.from_pylist(results, schema), path, row_group_size=2)


def packed(row: Row) -> Row:
    """The row with its vector as bytes."""
    vector = row.get("vector")
    return row if vector is None else row | {"vector": struct.pack("<3f", *vector)}


def slowly(made: Made, names: list[str]) -> tuple[list[Row], list[Row]]:
    """The table's rows and the dead letters, one row after the other."""
    staged, dead = [], []
    carried = {found["_fingerprint"]: found for found in made.carried}
    for row, decision in zip(made.rows, made.decisions, strict=True):
        mine = [
            found
            for results in made.results.values()
            for found in results
            if found["_fingerprint"] == row["_fingerprint"] and decision in ("ask", "fold", "keep")
        ]
        last = max(mine, key=lambda found: found["_round"], default={})
        summed = {name: _sum(mine, name) for name in ("_input_tokens", "_output_tokens", "_cost_usd")}
        known = carried[row["_fingerprint"]] if decision == "carry" else {**last, **summed}
        outcome = {"bad": "errored", "duplicate": "duplicate"}.get(decision) or known["_outcome"]
        if decision != "duplicate" and row["id"] is not None:
            cost = summed["_cost_usd"] if decision == "ask" else Decimal(0)
            full = {**dict.fromkeys(names), "_run": "this", **known, **row}
            staged.append({name: full[name] for name in names} | {"_outcome": outcome, "_cost_usd": cost})
        if outcome != "answered":
            again = "the key was already used by an earlier row of this run"
            reason = row["_problem"] or (again if decision == "duplicate" else last.get("_reason"))
            dead.append(letter(row, outcome, reason, last))
    return staged, dead


def _sum(found: list[Row], name: str) -> Any:
    given = [one[name] for one in found if one[name] is not None]
    return sum(given, type(given[0])()) if given else None


def letter(row: Row, outcome: str, reason: str | None, last: Row) -> Row:
    told = {"fingerprint": "_fingerprint", "system": "_system", "user": "_user", "origin": "_origin"}
    return {
        "key": row["id"],
        "number": row["_number"],
        "outcome": outcome,
        "reason": reason,
        "code": last.get("_code"),
        "rounds": last.get("_round"),
        "raw": last.get("_raw"),
        **{name: row[column] for name, column in told.items()},
    }


def run_of(at: Site, rows: int) -> Run:
    return Run(
        run_id="this",
        workload="sorting",
        interval_key="hour",
        interval_start=NOW,
        interval_end=NOW,
        edition=1,
        state=RunState.RUNNING,
        spec_hash="",
        spec={},
        store=at.store.root,
        provider="openai",
        model="m",
        created_at=NOW,
        updated_at=NOW,
        facts={"folder": "run", "rows": rows},
    )


@pytest.fixture(autouse=True, scope="module")
def _small_batches() -> Iterator[None]:
    """A run of a few rows in several batches, of files in several too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembling, "rows_per_batch", lambda _: 8)
        patch.setattr(assembling, "MANY_ROWS", 9)
        patch.setattr(lettering, "_GROUP_ROWS", 3)
        patch.setattr(row_files, "UNPACK_ROWS", 2)
        patch.setattr(row_files, "READ_ROWS", 3)
        patch.setattr(row_files, "BATCH_ROWS", 5)
        patch.setattr(matching, "PART_RECORDS", 4)
        yield


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_run_is_assembled_as_an_obvious_slow_join_does_it(
    tmp_path_factory: pytest.TempPathFactory, form: str, data: st.DataObject
) -> None:
    made = data.draw(runs(form))
    at, of = site(tmp_path_factory.mktemp("run")), FORMS[form]
    folder = Path(at.store.root) / "run"
    write(folder, of, made)
    found = assemble(of, at, run_of(at, len(made.rows)))
    staged, dead = slowly(made, of.table_columns())
    assert read(folder / "staged.parquet") == staged
    letters = read(folder / "dead_letters.parquet")
    assert [sorted(one.items()) for one in letters] == [sorted(one.items()) for one in dead]
    assert (found.rows, found.dead_letters) == (len(staged), len(dead))
    dead_outcomes = Counter(one["outcome"] for one in dead)
    assert Counter(found.outcomes) == dead_outcomes + Counter(answered=len(made.rows) - len(dead))


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_result_too_many_or_too_few_stops_the_run_before_anything_is_in_its_folder(
    tmp_path_factory: pytest.TempPathFactory, form: str, data: st.DataObject
) -> None:
    made = data.draw(runs(form).filter(lambda made: made.results))
    name = data.draw(st.sampled_from(sorted(made.results)))
    one = data.draw(st.sampled_from(made.results[name]))
    for held in made.results.values():
        held[:] = [other for other in held if other["_fingerprint"] != one["_fingerprint"]]
    made.results[name] += [one | {"_round": 1}] * data.draw(st.sampled_from([0, 2]))
    at, of = site(tmp_path_factory.mktemp("run")), FORMS[form]
    write(Path(at.store.root) / "run", of, made)
    with pytest.raises(ReconcileError, match="Nothing was published"):
        assemble(of, at, run_of(at, len(made.rows)))
    assert at.store.names("run/staged.parquet") == at.store.names("run/dead_letters.parquet") == []

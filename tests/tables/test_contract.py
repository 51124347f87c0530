"""What every kind of table promises, on a real Parquet folder, DuckDB file and Postgres server."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offpeak.errors import TableError
from offpeak.tables import PROVENANCE, Layout
from tests.tables.conftest import Place
from tests.tables.staging import MORNING, PRICE, carried, layout, row, staged, wanted


def answers(place: Place, tmp_path: Path, fingerprints: list[str], of: Layout | None = None) -> pa.Table:
    into = tmp_path / "carry.parquet"
    count = place.open().answered(wanted(tmp_path, fingerprints), of or layout(), into)
    carry = pq.read_table(into)
    assert carry.num_rows == count
    return carry


# -- publishing
def test_a_first_publish_is_what_readers_see_and_what_last_tells(place: Place, tmp_path: Path) -> None:
    table = place.open()
    before = datetime.now(UTC)
    published = table.publish(staged(tmp_path, [row("a"), row("b", "other")]))
    assert {key: each["intent"] for key, each in place.rows().items()} == {"a": "refund", "b": "other"}
    assert place.rows()["a"]["_cost_usd"] == PRICE
    assert place.rows()["a"]["_answered_at"] == MORNING
    assert (published.run_id, published.row_count) == ("run-1", 2)
    assert before <= published.published_at <= datetime.now(UTC)
    assert table.last("tickets") == published
    assert table.last("another") is None


def test_publishing_the_same_run_again_changes_nothing(place: Place, tmp_path: Path) -> None:
    table = place.open()
    first = table.publish(staged(tmp_path, [row("a")]))
    again = table.publish(staged(tmp_path, [row("a", "changed"), row("b")]))
    assert again == first
    assert {key: each["intent"] for key, each in place.rows().items()} == {"a": "refund"}
    assert table.last("tickets") == first


def test_a_later_run_replaces_by_key_and_rows_absent_from_it_stay(place: Place, tmp_path: Path) -> None:
    table = place.open()
    table.publish(staged(tmp_path, [row("a"), row("b")]))
    second = table.publish(
        staged(tmp_path, [row("b", "other", run="run-2"), row("c", run="run-2")], run="run-2", hour=9)
    )
    seen = place.rows()
    assert {key: each["intent"] for key, each in seen.items()} == {"a": "refund", "b": "other", "c": "refund"}
    assert {key: each["_run"] for key, each in seen.items()} == {"a": "run-1", "b": "run-2", "c": "run-2"}
    assert len(place.read()) == (3 if place.merges else 4)
    assert table.last("tickets") == second


@pytest.mark.parametrize("hour", [8, 9], ids=["another edition of the interval", "the next interval"])
def test_the_sum_of_costs_stays_what_was_paid_when_rows_are_carried(
    place: Place, tmp_path: Path, hour: int
) -> None:
    table = place.open()
    table.publish(staged(tmp_path, [row("a"), row("b"), row("c", None, _outcome="refused")]))
    rows = [carried("a"), row("b", "other", run="run-2", _fingerprint="fp-new"), row("d", run="run-2")]
    table.publish(staged(tmp_path, rows, run="run-2", hour=hour))
    total = sum(each["_cost_usd"] for each in place.read())
    # of three rows paid on the first day, b was replaced by one paid on the second
    kept = {"merge": 4, "partition": 3 if hour == 8 else 5}["merge" if place.merges else "partition"]
    assert total == kept * PRICE
    if place.merges or hour == 8:
        assert (place.rows()["a"]["_cost_usd"], place.rows()["a"]["_run"]) == (PRICE, "run-1")


def test_a_carried_row_with_another_answer_than_the_tables_replaces_its_cost(
    place: Place, tmp_path: Path
) -> None:
    table = place.open()
    table.publish(staged(tmp_path, [row("a", run="run-0")], run="run-1"))
    table.publish(
        staged(tmp_path, [carried("a", "other", run="run-x", _fingerprint="fp-b")], run="run-2", hour=8)
    )
    assert place.rows()["a"]["_cost_usd"] == 0
    assert place.rows()["a"]["_run"] == "run-x"


def test_a_staged_file_with_fewer_rows_than_the_run_counted_is_not_published(
    place: Place, tmp_path: Path
) -> None:
    import dataclasses

    torn = dataclasses.replace(staged(tmp_path, [row("a")]), row_count=2)
    with pytest.raises(TableError, match=r"has 1 rows, but the run counted 2.*Nothing was published"):
        place.open().publish(torn)
    assert place.read() == []


def test_an_empty_run_makes_an_empty_table(place: Place, tmp_path: Path) -> None:
    table = place.open()
    assert table.publish(staged(tmp_path, [])).row_count == 0
    assert place.read() == []
    assert table.head(5).num_rows == 0
    assert table.last("tickets") is not None


def test_head_is_in_key_order(place: Place, tmp_path: Path) -> None:
    table = place.open()
    table.publish(staged(tmp_path, [row("c"), row("a"), row("b")]))
    head = table.head(2)
    assert head.column("ticket_id").to_pylist() == ["a", "b"]
    assert head.column_names == layout().schema.names
    assert head.column("_cost_usd").to_pylist() == [PRICE, PRICE]


def test_a_table_that_does_not_exist_has_no_last_and_no_head(place: Place) -> None:
    assert place.open().last("tickets") is None
    assert place.open().head(3).num_rows == 0


# -- carrying
def test_answered_gives_exactly_the_wanted_answers_with_their_provenance(
    place: Place, tmp_path: Path
) -> None:
    place.open().publish(
        staged(tmp_path, [row("a"), row("b", "other"), row("c", None, _outcome="refused"), row("d")])
    )
    carry = answers(place, tmp_path, ["fp-a", "fp-b", "fp-c", "fp-unknown"])
    assert sorted(carry.column("_fingerprint").to_pylist()) == ["fp-a", "fp-b"]
    assert carry.schema.names == ["intent", *(name for name, _ in PROVENANCE)]
    assert [str(field.type) for field in carry.schema][1:] == [kind for _, kind in PROVENANCE]
    found = {each["_fingerprint"]: each for each in carry.to_pylist()}
    assert found["fp-b"]["intent"] == "other"
    assert (found["fp-b"]["_run"], found["fp-b"]["_cost_usd"]) == ("run-1", PRICE)
    assert found["fp-b"]["_answered_at"] == MORNING


def test_answered_gives_one_row_per_fingerprint_the_latest(place: Place, tmp_path: Path) -> None:
    table = place.open()
    later = MORNING + timedelta(hours=3)
    table.publish(
        staged(tmp_path, [row("a", "old"), row("b", "new", _fingerprint="fp-a", _answered_at=later)])
    )
    table.publish(
        staged(tmp_path, [row("c", "older", run="run-2", _fingerprint="fp-a")], run="run-2", hour=9)
    )
    assert answers(place, tmp_path, ["fp-a"]).column("intent").to_pylist() == ["new"]


def test_nothing_is_answered_by_a_missing_table_or_one_without_the_column(
    place: Place, tmp_path: Path
) -> None:
    assert answers(place, tmp_path, ["fp-a"]).num_rows == 0
    place.open().publish(staged(tmp_path, [row("a")]))
    grown = layout({"intent": pa.string(), "urgency": pa.string()})
    assert answers(place, tmp_path, ["fp-a"], grown).num_rows == 0
    retyped = layout({"intent": pa.int64()})
    assert answers(place, tmp_path, ["fp-a"], retyped).num_rows == 0


# -- columns
def test_new_columns_are_added_and_old_rows_have_none_in_them(place: Place, tmp_path: Path) -> None:
    table = place.open()
    table.publish(staged(tmp_path, [row("a")]))
    grown = layout({"intent": pa.string(), 'ur"gency %s': pa.string()})
    rows = [row("b", run="run-2", **{'ur"gency %s': "high"})]
    table.publish(staged(tmp_path, rows, run="run-2", hour=9, of=grown))
    assert place.rows()["b"]['ur"gency %s'] == "high"
    assert place.rows()["a"].get('ur"gency %s') is None


def test_a_column_that_a_later_run_lacks_keeps_its_old_values(place: Place, tmp_path: Path) -> None:
    table = place.open()
    grown = layout({"intent": pa.string(), "urgency": pa.string()})
    table.publish(staged(tmp_path, [row("a", urgency="high")], of=grown))
    table.publish(staged(tmp_path, [row("b", run="run-2")], run="run-2", hour=9))
    assert place.rows()["a"]["urgency"] == "high"


@pytest.mark.parametrize(
    ("was", "becomes", "value"),
    [
        (pa.int64(), pa.string(), "three"),
        (pa.int64(), pa.float64(), 1.5),
        (pa.list_(pa.float32(), 3), pa.list_(pa.float32(), 4), [1.0, 2.0, 3.0, 4.0]),
        (pa.list_(pa.string()), pa.string(), "x"),
    ],
)
def test_a_type_that_the_column_cannot_hold_is_refused_before_anything_changes(
    place: Place, tmp_path: Path, was: pa.DataType, becomes: pa.DataType, value: Any
) -> None:
    table = place.open()
    first = {pa.int64(): 3, pa.list_(pa.string()): ["a"]}.get(was, [1.0, 2.0, 3.0])
    published = table.publish(
        staged(tmp_path, [row("a", score=first)], of=layout({"intent": pa.string(), "score": was}))
    )
    columns = layout({"intent": pa.string(), "score": becomes, "more": pa.string()})
    rows = [row("b", run="run-2", score=value, more="x")]
    with pytest.raises(
        TableError, match=r"'score' is .* but this run has .* Nothing was changed.* another name"
    ):
        table.publish(staged(tmp_path, rows, run="run-2", hour=9, of=columns))
    assert list(place.rows()) == ["a"]
    assert "more" not in place.rows()["a"]
    assert table.last("tickets") == published


def test_a_narrower_type_is_kept_in_the_columns_own(place: Place, tmp_path: Path) -> None:
    table = place.open()
    wide = layout({"intent": pa.string(), "score": pa.float64()})
    table.publish(staged(tmp_path, [row("a", score=0.1)], of=wide))
    narrow = layout({"intent": pa.string(), "score": pa.float32()})
    table.publish(staged(tmp_path, [row("b", run="run-2", score=0.5)], run="run-2", hour=9, of=narrow))
    assert {key: each["score"] for key, each in place.rows().items()} == {"a": 0.1, "b": 0.5}


# -- values
def test_hostile_strings_come_back_exactly_as_keys_and_as_answers(
    place: Place, tmp_path: Path, data_folder: Path
) -> None:
    texts = pq.read_table(data_folder / "robustness" / "naughty_strings.parquet").column("text").to_pylist()
    strings = list(dict.fromkeys(["", "NULL", "\\N", "\\.", "a\n\\.\nb", '{"a"}', "\ufffe", *texts]))
    rows = [row(text, text, _fingerprint=f"fp{number}") for number, text in enumerate(strings)]
    table = place.open()
    table.publish(staged(tmp_path, rows))
    assert {key: each["intent"] for key, each in place.rows().items()} == {text: text for text in strings}
    carry = answers(place, tmp_path, [f"fp{number}" for number in range(len(strings))])
    assert sorted(carry.column("intent").to_pylist()) == sorted(strings)
    table.publish(
        staged(
            tmp_path,
            [carried(text, text, _fingerprint=f"fp{n}") for n, text in enumerate(strings)],
            run="run-2",
        )
    )
    assert len(place.read()) == len(strings)


def test_nulls_nested_values_decimals_and_times_come_back_as_they_were(place: Place, tmp_path: Path) -> None:
    inner = pa.struct(
        [("when", pa.timestamp("us", tz="UTC")), ("price", pa.decimal128(10, 4)), ("n", pa.int64())]
    )
    kinds = {
        "intent": pa.string(),
        "tags": pa.list_(pa.string()),
        "nested": inner,
        "many": pa.list_(inner),
        "price": pa.decimal128(20, 6),
        "flag": pa.bool_(),
        "day": pa.date32(),
        "at": pa.timestamp("us", tz="UTC"),
        "real": pa.float64(),
    }
    one = {"when": MORNING, "price": Decimal("1.5000"), "n": 2**53 + 1}
    full: dict[str, Any] = {
        "tags": ["a", 'b"\\,{}', "NULL", None, ""],
        "nested": one,
        "many": [one, None, {"when": None, "price": None, "n": None}],
        "price": Decimal("12345678901234.000001"),
        "flag": False,
        "day": date(2026, 2, 28),
        "at": MORNING + timedelta(microseconds=1),
        "real": 0.1 + 0.2,
    }
    bare: dict[str, Any] = dict.fromkeys(full)
    empty: dict[str, Any] = {**bare, "tags": [], "many": [], "real": float("inf")}
    of = layout(kinds)
    rows = [row("full", **full), row("bare", None, **bare), row("empty", **empty)]
    place.open().publish(staged(tmp_path, rows, of=of))
    carry = answers(place, tmp_path, ["fp-full", "fp-bare", "fp-empty"], of)
    found = {each["_fingerprint"]: {name: each[name] for name in full} for each in carry.to_pylist()}
    assert found == {"fp-full": full, "fp-bare": bare, "fp-empty": empty}
    assert carry.schema.field("many").type == kinds["many"]


def test_vectors_come_back_exactly(place: Place, tmp_path: Path) -> None:
    of = layout({"vector": pa.list_(pa.float32(), 1536)})
    values = pa.array([number / 7 - 100 for number in range(1536)], pa.float32()).to_pylist()
    rows = [row("a", vector=values), row("b", vector=None, _outcome="refused"), row("c", vector=values[::-1])]
    for each in rows:
        del each["intent"]
    place.open().publish(staged(tmp_path, rows, of=of))
    carry = answers(place, tmp_path, ["fp-a", "fp-b", "fp-c"], of)
    found = {each["_fingerprint"]: each["vector"] for each in carry.to_pylist()}
    assert found == {"fp-a": values, "fp-c": values[::-1]}
    assert carry.schema.field("vector").type == pa.list_(pa.float32(), 1536)
    assert place.rows()["b"]["vector"] is None


@pytest.mark.parametrize("kind", [pa.int64(), pa.large_string()])
def test_keys_of_other_types_merge_too(place: Place, tmp_path: Path, kind: pa.DataType) -> None:
    of = layout(key=kind)
    keys = [2**53 + 1, 2**53 + 2] if kind == pa.int64() else ["x", "y"]
    place.open().publish(staged(tmp_path, [row(key) for key in keys], of=of))
    place.open().publish(staged(tmp_path, [row(keys[0], "new", run="run-2")], of=of, run="run-2", hour=9))
    assert {key: each["intent"] for key, each in place.rows().items()} == {keys[0]: "new", keys[1]: "refund"}

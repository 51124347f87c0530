"""Collecting: an ended batch becomes results, its spend, and the next round of what is asked again."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from offpeak.assemble import Assembled, assemble
from offpeak.blocks import lines_of
from offpeak.site import Site
from offpeak.states import BatchStatus
from tests.core.making import (
    Planned,
    errored,
    narrow,
    planned,
    read,
    said,
    site,
    texts,
    truncated,
    workload,
    write_rows,
)


@pytest.fixture
def at(tmp_path: Path) -> Site:
    return site(tmp_path)


def ids(plan: Planned) -> dict[str, str]:
    """The custom_id of each open request, by its user text without a note."""
    found = {}
    for shard in plan.shards():
        for raw in lines_of(Path(plan.site.store.root) / shard.file):
            line = orjson.loads(raw)
            found[line["body"]["input"].split("\n\n")[0]] = line["custom_id"]
    return found


def good(custom_id: str, kind: str = "card", tokens: tuple[int, int] = (100, 10)) -> bytes:
    return said(custom_id, json.dumps({"kind": kind, "urgent": False}), tokens=tokens)


def assembled(plan: Planned) -> tuple[Assembled, list[dict[str, Any]], list[dict[str, Any]]]:
    made = assemble(plan.workload, plan.site, plan.site.ledger.run(plan.run.run_id))
    return made, read(plan.file("staged.parquet")), read(plan.file("dead_letters.parquet"))


def spent(plan: Planned) -> Decimal:
    amounts = [spend.cost_usd for spend in plan.site.ledger.spent(run_id=plan.run.run_id)]
    assert None not in amounts
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def paid(rows: list[dict[str, Any]]) -> Decimal:
    return sum((row["_cost_usd"] for row in rows), Decimal(0))


def test_what_is_asked_again_is_asked_in_its_own_way(at: Site) -> None:
    write_rows(at, texts("fine", "invalid", "truncated", "errored"))
    plan = planned(workload(max_output_tokens=100), at)
    first = ids(plan)
    plan.answer(
        [
            good(first["fine"]),
            said(first["invalid"], '{"kind": "dog"}'),
            truncated(first["truncated"]),
            errored(first["errored"]),
        ]
    )
    (shard,) = plan.shards()
    path = Path(at.store.root) / shard.file
    lines = {
        body["input"].split("\n\n")[0]: body for body in (orjson.loads(raw)["body"] for raw in lines_of(path))
    }
    assert (shard.key.round, shard.request_count, shard.size_bytes) == (2, 3, path.stat().st_size)
    assert "kind: Input should be" in lines["invalid"]["input"]
    assert lines["truncated"]["max_output_tokens"] == 200
    assert lines["errored"] == {**lines["errored"], "input": "errored", "max_output_tokens": 100}
    assert shard.tag != plan.plan.shards[0].tag
    assert all(custom_id.startswith(f"{shard.tag}-") for custom_id in ids(plan).values())


def test_notes_never_make_a_full_shard_larger_than_the_provider_takes(at: Site) -> None:
    write_rows(at, texts(*(f"text {number:03d}" for number in range(40))))
    size = 40 * 600
    plan = planned(narrow(workload(), size_bytes=size), at)
    for _ in range(2):
        for shard in list(plan.shards()):
            mine = [orjson.loads(raw)["custom_id"] for raw in lines_of(Path(at.store.root) / shard.file)]
            plan.answer([said(custom_id, "not json " * 50) for custom_id in mine])
    open_shards = plan.shards()
    assert sum(shard.request_count for shard in open_shards) == 40
    assert all(shard.size_bytes <= size - 64 for shard in open_shards)
    raws = [raw for shard in open_shards for raw in lines_of(Path(at.store.root) / shard.file)]
    assert any(b"not accepted" in raw for raw in raws), "what fits is still told"


def test_collecting_twice_changes_and_costs_nothing(at: Site) -> None:
    write_rows(at, texts("a"))
    plan = planned(workload(), at)
    plan.answer([good(custom_id) for custom_id in ids(plan).values()])
    before = spent(plan)
    from offpeak.collect import collect
    from tests.core.making import Lines, batch

    (shard,) = at.ledger.shards(plan.run.run_id)
    seen = batch(str(shard.batch_id))
    collect(plan.workload, at, Lines([good("x")]), shard, seen)  # type: ignore[arg-type]
    assert spent(plan) == before


def test_odd_lines_are_noted_for_people(at: Site) -> None:
    write_rows(at, texts("a"))
    plan = planned(workload(), at)
    (made,) = ids(plan).values()
    plan.answer([b"?", good(made), good(made), good("foreign-1")])
    (shard,) = at.ledger.shards(plan.run.run_id)
    for phrase in ("1 foreign", "1 repeated", "1 unreadable"):
        assert phrase in shard.note


def test_an_expired_batch_is_asked_again_for_what_it_left_open(at: Site) -> None:
    write_rows(at, texts("a", "b"))
    plan = planned(workload(), at)
    tally = plan.answer([good(ids(plan)["a"])], BatchStatus.EXPIRED)
    assert tally.outcomes == {"answered": 1, "expired": 1}
    assert set(ids(plan)) == {"b"}

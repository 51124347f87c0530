"""What a person does about a run that may be late: real processes beside the one that carries it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from offpeak.emulator import Emulator
from offpeak.states import RunState, ShardState
from tests.run.making import Place
from tests.run.test_cli import DAG_FILE, OFFPEAK, environment, offpeak, write_rows

DUE_FILE = DAG_FILE.replace(
    "    shard_requests=20,\n", "    shard_requests=20,\n    due=timedelta(hours=6),\n    %s\n"
).replace("from typing", "from datetime import timedelta\nfrom decimal import Decimal\nfrom typing")
STORE = ("--store", "store")


@pytest.fixture
def shop(tmp_path: Path, emulator: Emulator) -> Place:
    """A folder with a DAG file and fifty rows, of which one batch of three gets stuck."""
    place = Place(folder=tmp_path, emulator=emulator)
    declare(place)
    write_rows(tmp_path / "rows.jsonl", 50)
    emulator.control.add_fault("stuck")
    return place


def declare(place: Place, more: str = "") -> None:
    (place.folder / "kinds.py").write_text(DUE_FILE % ("openai:gpt-5-mini", more))


def started(place: Place) -> subprocess.Popen[str]:
    """`offpeak run`, at the moment when only the stuck batch is still open."""
    process = subprocess.Popen(
        [OFFPEAK, "run", "kinds.py", "--rows", "rows.jsonl", *STORE, "--json"],
        cwd=place.folder,
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: _open(place) == [ShardState.IN_FLIGHT], process)
    return process


def _open(place: Place) -> list[ShardState]:
    if place.creates() < 3:
        return []
    ledger = place.site().ledger
    return [one.state for one in ledger.shards(run_id(place)) if one.state is not ShardState.COLLECTED]


def until(wanted: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < end, "it does not happen"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def run_id(place: Place) -> str:
    return place.site().ledger.runs("kinds")[0].run_id


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, trouble = process.communicate(timeout=120)
    assert process.returncode == 0, trouble
    facts: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return facts


def test_escalate_takes_a_stuck_batch_to_realtime_and_the_run_goes_on_by_itself(shop: Place) -> None:
    process = started(shop)
    done = offpeak(shop, "escalate", run_id(shop), *STORE, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (len(said["shards"]), said["requests"] > 0, said["usd"] > 0) == (1, True, True)
    facts = ended(process)
    assert (facts["state"], facts["outcomes"]) == ("published", {"answered": 50})
    assert facts["escalated"] == said["shards"]
    assert shop.billed() == 50
    again = offpeak(shop, "escalate", run_id(shop), *STORE)
    assert (again.returncode, "only a running one can be escalated" in again.stderr) == (2, True)


def test_escalate_keeps_to_the_budget(shop: Place) -> None:
    process = started(shop)
    declare(shop, 'budget_usd=Decimal("0.000001"),')
    done = offpeak(shop, "escalate", run_id(shop), *STORE)
    assert done.returncode == 1
    assert "above its budget of" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert _open(shop) == [ShardState.IN_FLIGHT]
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_publish_partial_ends_the_run_with_what_it_has(shop: Place) -> None:
    process = started(shop)
    done = offpeak(shop, "publish", "--partial", run_id(shop), *STORE, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    assert (facts["state"], facts["partial"], facts["dead_letters"] > 0) == ("published", True, True)
    assert set(facts["outcomes"]) == {"answered", "cancelled"}
    assert pq.read_table(facts["table"]).num_rows == 50
    assert ended(process)["state"] == "published", "the one that carried it sees that it is published"
    shop.emulator.control.clear_faults()
    code = offpeak(shop, "run", "kinds.py", "--rows", "rows.jsonl", *STORE, "--json")
    after = json.loads(code.stdout.strip().splitlines()[-1])
    assert (after["carried"], after["requests"]) == (facts["outcomes"]["answered"], facts["dead_letters"])
    assert shop.billed() == 50


def test_a_partial_publish_needs_the_word_for_it(shop: Place) -> None:
    done = offpeak(shop, "publish", "some-run", *STORE)
    assert (done.returncode, "say --partial" in done.stderr) == (2, True)


def test_extend_moves_the_due_time_of_one_run(shop: Place) -> None:
    process = started(shop)
    before = shop.site().ledger.run(run_id(shop)).due_at
    assert before is not None
    done = offpeak(shop, "extend", run_id(shop), "1h30m", *STORE, "--json")
    assert done.returncode == 0, done.stderr
    assert datetime.fromisoformat(json.loads(done.stdout)["due_at"]) == before + timedelta(minutes=90)
    bad = offpeak(shop, "extend", run_id(shop), "soon", *STORE)
    assert (bad.returncode, "Write 30m, 2h or 1h30m" in bad.stderr) == (2, True)
    events = [event.what for event in shop.site().ledger.events(run_id(shop))]
    assert "due time moved" in events
    process.kill()
    process.communicate()


def test_status_shows_route_forecast_and_how_often_forecasts_held(shop: Place) -> None:
    declare(shop, 'route="auto",')
    process = started(shop)
    until(lambda: "outlook" in shop.site().ledger.run(run_id(shop)).facts, process)
    told = offpeak(shop, "status", run_id(shop), *STORE)
    assert "route auto" in told.stdout
    assert "forecast p50" in told.stdout
    assert "past batch" in told.stdout
    assert "decision: the last safe moment is" in told.stdout
    facts = json.loads(offpeak(shop, "status", run_id(shop), *STORE, "--json").stdout)
    assert facts["route"] == "auto"
    assert facts["forecast"]["p90"] > facts["forecast"]["p50"]
    process.kill()
    process.communicate()
    assert shop.site().ledger.run(run_id(shop)).state is RunState.RUNNING

"""Pipelines from the command line: stages layer by layer, each of them a run like any other."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from offpeak.errors import SpecError
from offpeak.pipeline import Pipeline
from offpeak.stage import finish, prepared
from offpeak.states import RunState
from tests.run.making import Place, hourly
from tests.run.pipelined import TwoLayers, count_rows, stage
from tests.run.test_cli import OFFPEAK, environment, offpeak

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("kinds__left", "kinds__right", "kinds")
DAG_FILE = """
import sys
sys.path.insert(0, %r)
from decimal import Decimal
from tests.run.pipelined import TwoLayers
from offpeak.on_airflow import workload_dag

kinds = TwoLayers(%s)
dag = workload_dag(kinds, schedule="@daily")
"""


@pytest.fixture
def shop(openai_place: Place) -> Place:
    """Fifty tickets and a DAG file with a pipeline."""
    openai_place.rows(50)
    dag_file(openai_place)
    return openai_place


def dag_file(place: Place, arguments: str = "") -> None:
    (place.folder / "kinds.py").write_text(DAG_FILE % (str(ROOT), arguments))


def run(place: Place, *more: str) -> tuple[int, dict[str, Any], str]:
    done = offpeak(place, "run", "kinds.py", "--store", "store", "--json", *more)
    return done.returncode, json.loads(done.stdout.strip().splitlines()[-1]), done.stderr


def test_a_pipeline_publishes_every_stage_and_ends_with_its_last_step(shop: Place) -> None:
    code, facts, said = run(shop)
    assert code == 4, "the exit code is the last step's"
    assert list(facts["stages"]) == list(STAGES)
    assert {name: one["state"] for name, one in facts["stages"].items()} == dict.fromkeys(STAGES, "published")
    assert facts["finished"] == {"counts": dict.fromkeys(STAGES, 50)}
    assert "Counted 150 rows." in said
    last = shop.site().ledger.run(facts["stages"]["kinds"]["run_id"])
    assert last.facts["finished"] == facts["finished"], "kept in the ledger for whoever waits for it"
    assert {"finish", "plan", "check"} <= {one.name for one in shop.site().ledger.stages(last.run_id)}


def test_a_second_run_asks_nothing_of_any_stage_unless_one_is_marked_to_ask_again(shop: Place) -> None:
    run(shop)
    billed = shop.billed()
    _, facts, _ = run(shop)
    assert [one["requests"] for one in facts["stages"].values()] == [0, 0, 0]
    assert shop.billed() == billed
    dag_file(shop, 'again=frozenset({"kinds__right"})')
    _, facts, _ = run(shop)
    assert [one["requests"] for one in facts["stages"].values()] == [0, 50, 0]


@pytest.mark.slow
def test_the_same_interval_is_not_run_again_where_it_is_published(shop: Place) -> None:
    interval = ("--start", "2026-11-21T00:00:00", "--end", "2026-11-22T00:00:00")
    run(shop, *interval)
    runs = len(shop.site().ledger.runs())
    code, _, said = run(shop, *interval)
    assert code == 4
    assert said.count("published before for this interval") == 3
    assert len(shop.site().ledger.runs()) == runs


@pytest.mark.slow
def test_the_limit_cuts_the_rows_of_the_first_layer(shop: Place) -> None:
    _, facts, _ = run(shop, "--limit", "7")
    assert [one["rows"] for one in facts["stages"].values()] == [7, 7, 7]


def test_an_interrupted_pipeline_says_what_is_still_billed_and_is_taken_up(
    shop: Place,
) -> None:
    shop.emulator.control.freeze()
    command = [OFFPEAK, "run", "kinds.py", "--store", "store"]
    options: dict[str, Any] = {"cwd": shop.folder, "env": environment(shop), "text": True}
    going = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=_heed_interrupts, **options)
    try:
        wait_for(lambda: shop.creates() == 6)  # of both stages of the first layer, side by side
        going.send_signal(signal.SIGINT)
        _, said = going.communicate(timeout=60)
    finally:
        going.kill()
        shop.emulator.control.freeze(False)
    assert going.returncode == 130
    assert "6 batches are still running and billed" in said
    assert "offpeak cancel kinds__left/" in said
    code, facts, said = run(shop)
    assert code == 4
    assert "Taking up the unfinished run kinds__left/" in said
    assert facts["finished"] == {"counts": dict.fromkeys(STAGES, 50)}
    assert shop.creates() == 9
    assert shop.billed() == 150


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.05)


def test_a_refused_stage_ends_the_pipeline_with_its_reason_and_its_report(shop: Place) -> None:
    dag_file(shop)
    (shop.folder / "kinds.py").write_text(
        (shop.folder / "kinds.py").read_text().replace("kinds = TwoLayers()", REFUSING)
    )
    code, facts, said = run(shop)
    assert code == 3
    assert facts["state"] == "failed"
    assert facts["stages"]["kinds__left"]["state"] == "refused"
    assert "the verdict is no" in facts["error"]
    assert Path(facts["stages"]["kinds__left"]["report"]).is_file()
    assert "kinds" not in facts["stages"], "the layer after it was not begun"
    assert "Counted" not in said


REFUSING = """
from dataclasses import replace
from offpeak import gxe
from offpeak.pipeline import Pipeline
made = TwoLayers().pipeline
never = gxe.ExpectTableRowCountToEqual(value=1)
left = replace(made.layers[0][0], checks=[never])
class Refusing:
    name = "kinds"
    pipeline = Pipeline(name="kinds", layers=((left,), made.layers[1]), finish=made.finish)
kinds = Refusing()
"""


def test_a_stage_may_cost_what_the_others_left_of_the_budget(shop: Place) -> None:
    interval, site = hourly(8), shop.site()
    pipeline = TwoLayers(budget_usd=Decimal("0.5")).pipeline
    left, right = pipeline.layers[0]
    assert prepared(pipeline, right, site, interval).budget_usd == Decimal("0.5")
    done = shop.run(left, hour=8)
    spent = sum(one.cost_usd or Decimal(0) for one in site.ledger.spent(run_id=done.run_id))
    assert spent > 0
    assert prepared(pipeline, right, site, interval).budget_usd == Decimal("0.5") - spent
    assert prepared(pipeline, left, site, interval).budget_usd == Decimal("0.5"), "its own spend is its own"
    tight = TwoLayers(budget_usd=spent / 2).pipeline
    assert prepared(tight, right, site, interval).budget_usd == 0


def test_a_stage_without_rows_is_published_without_asking_anybody(shop: Place) -> None:
    shop.rows(0)
    _, facts, _ = run(shop)
    assert [(one["state"], one["rows"], one["requests"]) for one in facts["stages"].values()] == [
        ("published", 0, 0)
    ] * 3
    assert shop.creates() == 0


def test_the_last_step_is_not_taken_before_every_stage_is_published(shop: Place) -> None:
    site, pipeline = shop.site(), TwoLayers().pipeline
    shop.run(pipeline.layers[0][0], hour=8)
    with pytest.raises(SpecError, match="the stages kinds__right, kinds are not published for the interval"):
        finish(pipeline, site, hourly(8))
    assert site.ledger.runs("kinds__left")[0].state is RunState.PUBLISHED


def test_commands_for_a_workload_name_a_stage(shop: Place) -> None:
    done = offpeak(shop, "plan", "kinds.py:kinds__left", "--store", "store")
    assert done.returncode == 0, done.stderr
    assert "50 rows" in done.stdout
    unclear = offpeak(shop, "plan", "kinds.py", "--store", "store")
    assert unclear.returncode == 2
    assert "There are: kinds, kinds__left, kinds__right." in unclear.stderr
    rows = offpeak(shop, "run", "kinds.py", "--rows", "x.csv", "--store", "store")
    assert rows.returncode == 2
    assert "is the pipeline kinds" in rows.stderr


def test_a_pipeline_needs_stages_of_different_names() -> None:
    one = stage("kinds", "{store}/x/*.parquet")
    with pytest.raises(SpecError, match="two stages are called kinds"):
        Pipeline(name="p", layers=((one,), (one,)), finish=count_rows)
    with pytest.raises(SpecError, match="at least one stage"):
        Pipeline(name="p", layers=(), finish=count_rows)

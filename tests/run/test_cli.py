"""The command `offpeak`, as scripts call it: real processes against an emulator of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from offpeak.emulator import Emulator
from tests.run.making import Place

OFFPEAK = str(Path(sys.executable).with_name("offpeak"))
DAG_FILE = """
from typing import Literal
from pydantic import BaseModel
from offpeak import Prompt, Workload, jsonl, parquet_table
from offpeak.on_airflow import workload_dag

class Kind(BaseModel):
    kind: Literal["card", "refund", "transfer", "other"]

work = Workload(
    name="kinds",
    rows=jsonl("{store}/in/*.jsonl", key="id"),
    prompt=Prompt(system="Sort bank tickets.", user="{{ row.text }}"),
    answer=Kind,
    model="%s",
    into=parquet_table("{store}/tables/kinds"),
    shard_requests=20,
)
dag = workload_dag(work, schedule="@daily")
"""


@pytest.fixture
def shop(tmp_path: Path, emulator: Emulator) -> Place:
    """A folder with a DAG file and fifty rows."""
    place = Place(folder=tmp_path, emulator=emulator)
    (tmp_path / "kinds.py").write_text(DAG_FILE % "openai:gpt-5-mini")
    write_rows(tmp_path / "rows.jsonl", 50)
    return place


def write_rows(path: Path, count: int) -> None:
    rows = [json.dumps({"id": f"r{n}", "text": f"Refund number {n}, please"}) for n in range(count)]
    path.write_text("\n".join(rows) + "\n")


def environment(place: Place) -> dict[str, str]:
    quick = {"OFFPEAK_LOOK_SECONDS": "0.1", "OFFPEAK_SETTLE_SECONDS": "0.3"}
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OFFPEAK_", "AIRFLOW_"))
    }
    return kept | place.env | quick


def offpeak(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [OFFPEAK, *arguments],
        cwd=place.folder,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_json(place: Place, *more: str) -> tuple[int, dict[str, Any]]:
    done = offpeak(place, "run", "kinds.py", "--rows", "rows.jsonl", "--store", "store", "--json", *more)
    return done.returncode, json.loads(done.stdout.strip().splitlines()[-1])


def test_run_publishes_and_prints_the_contract_as_its_last_line(shop: Place) -> None:
    code, facts = run_json(shop)
    wanted = (
        "run_id state rows requests outcomes rounds batches usage cost_usd table report dead_letters verdict"
    )
    assert code == 0
    assert set(wanted.split()) <= set(facts)
    assert set(facts["cost_usd"]) == {"estimate", "actual", "realtime"}
    assert (facts["state"], facts["verdict"], facts["rows"], facts["requests"]) == (
        "published",
        "yes",
        50,
        50,
    )
    assert (facts["batches"], facts["outcomes"]) == (3, {"answered": 50})
    assert Path(facts["table"]).is_file()
    assert Path(facts["report"]).read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_a_second_run_asks_nothing_and_limit_reads_the_first_rows_only(shop: Place) -> None:
    assert run_json(shop, "--limit", "10")[1]["requests"] == 10
    assert run_json(shop)[1]["requests"] == 40
    code, facts = run_json(shop)
    assert (code, facts["requests"], facts["carried"], facts["cost_usd"]["actual"]) == (0, 0, 50, 0)
    assert shop.billed() == 50


@pytest.mark.parametrize(
    "after_creates", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_killed_run_is_taken_up_and_pays_no_row_twice(shop: Place, after_creates: int) -> None:
    command = [OFFPEAK, "run", "kinds.py", "--rows", "rows.jsonl", "--store", "store"]
    process = subprocess.Popen(
        command, cwd=shop.folder, env=environment(shop), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if shop.creates() >= after_creates and (after_creates or (shop.store / "ledger.sqlite").exists()):
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    code, facts = run_json(shop)
    assert (code, facts["state"], facts["rows"]) == (0, "published", 50)
    assert shop.creates() == 3
    assert shop.billed() == 50


@pytest.mark.slow
def test_two_runs_at_once_submit_every_shard_once(shop: Place) -> None:
    command = [OFFPEAK, "run", "kinds.py", "--rows", "rows.jsonl", "--store", "store"]
    both = [
        subprocess.Popen(
            [*command, "--start", "2026-11-22T08:00", "--end", "2026-11-22T09:00"],
            cwd=shop.folder,
            env=environment(shop),
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert shop.creates() == 3
    assert shop.billed() == 50


@pytest.mark.slow
def test_anthropic_needs_only_another_model(shop: Place) -> None:
    (shop.folder / "kinds.py").write_text(DAG_FILE % "anthropic:claude-haiku-4-5")
    code, facts = run_json(shop)
    assert (code, facts["outcomes"]) == (0, {"answered": 50})
    assert shop.emulator.control.count("POST", "/v1/messages/batches") == 3


def test_plan_sends_nothing_and_leaves_no_run(shop: Place) -> None:
    done = offpeak(shop, "plan", "kinds.py", "--rows", "rows.jsonl", "--store", "store", "--json")
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    assert (done.returncode, facts["requests"], facts["shards"]) == (0, 50, 3)
    assert facts["cost_usd"]["estimate"] == pytest.approx(facts["cost_usd"]["realtime"] / 2)
    assert shop.creates() == 0
    assert "No runs yet" in offpeak(shop, "status", "--store", "store").stdout
    assert not list((shop.store / "runs").rglob("*.jsonl"))


def test_preview_asks_in_realtime_and_publishes_nothing(shop: Place) -> None:
    done = offpeak(
        shop, "preview", "kinds.py", "--rows", "rows.jsonl", "--store", "store", "--count", "3", "--json"
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["outcome"] for answer in answers] == ["answered"] * 3
    assert [answer["answer"]["kind"] for answer in answers] == ["refund"] * 3
    assert answers[0]["user"] == "Refund number 0, please"
    assert shop.creates() == 0
    assert not (shop.store / "tables").exists()
    assert "Nothing was published" in done.stderr


def test_a_mistake_in_the_workload_is_a_sentence_and_exit_code_2(shop: Place) -> None:
    broken = (DAG_FILE % "openai:gpt-5-mini").replace("shard_requests=20", "rounds=9")
    (shop.folder / "kinds.py").write_text(broken)
    done = offpeak(shop, "run", "kinds.py", "--json")
    assert done.returncode == 2
    assert "rounds=9: give 1 to 5" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["state"] == "failed"


def test_no_command_shows_a_key(shop: Place) -> None:
    shop.env["OPENAI_API_KEY"] = "sk-very-secret-0123456789"
    shop.emulator.control.add_fault("bad_key", times=-1)
    done = offpeak(shop, "run", "kinds.py", "--rows", "rows.jsonl", "--store", "store", "--json")
    assert done.returncode == 1
    assert "very-secret" not in done.stdout + done.stderr
    for path in shop.store.rglob("*"):
        assert not path.is_file() or b"very-secret" not in path.read_bytes()


@pytest.mark.slow
def test_dead_letters_are_listed_and_replayed_into_the_same_table(shop: Place) -> None:
    shop.emulator.control.add_fault("line_refusal", times=-1, share=0.1)
    code, facts = run_json(shop)
    if code == 3:  # more than one per cent was refused: nothing was published, the answers are kept
        assert facts["verdict"] == "no"
    listed = offpeak(shop, "dead-letters", "list", facts["run_id"], "--store", "store", "--json")
    letters = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len(letters) == facts["dead_letters"] > 0
    assert {letter["outcome"] for letter in letters} == {"refused"}
    shop.emulator.control.clear_faults()
    replayed = offpeak(
        shop,
        "dead-letters",
        "replay",
        facts["run_id"],
        "kinds.py",
        "--rows",
        "rows.jsonl",
        "--store",
        "store",
        "--json",
    )
    after = json.loads(replayed.stdout.strip().splitlines()[-1])
    assert replayed.returncode == 0, replayed.stderr
    assert (after["requests"], after["outcomes"]) == (len(letters), {"answered": 50})


def test_cancel_says_what_was_harvested_and_status_shows_it(shop: Place) -> None:
    shop.emulator.control.add_fault("stuck", times=-1)
    command = [OFFPEAK, "run", "kinds.py", "--rows", "rows.jsonl", "--store", "store"]
    process = subprocess.Popen(
        command,
        cwd=shop.folder,
        env=environment(shop),
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background job ignores Ctrl-C and hands that on; a person's terminal does not
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 60
    while shop.creates() < 3 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert "3 batches are still running and billed" in said
    run_id = re.search(r"offpeak cancel (\S+?)`", said).group(1)  # type: ignore[union-attr]
    done = offpeak(shop, "cancel", run_id, "kinds.py", "--store", "store")
    assert done.returncode == 0, done.stderr
    assert "3 batches harvested" in done.stdout
    assert "cancelled" in offpeak(shop, "status", run_id, "--store", "store").stdout


def test_help_is_quick_and_names_every_command(shop: Place) -> None:
    started = time.process_time()
    text = offpeak(shop, "--help").stdout
    assert time.process_time() - started < 5
    for name in ("run", "plan", "preview", "status", "report", "dead-letters", "cancel", "emulate"):
        assert f"\n  {name} " in text
        assert offpeak(shop, name, "--help").returncode == 0


ENDING = """
import atexit, sys, types
class Held:
    def __del__(self):
        print("taken apart")
sys.modules["great_expectations"] = types.ModuleType("great_expectations")
sys.modules["great_expectations"].held = Held()
atexit.register(print, "last words")
sys.argv = ["offpeak", "extend", "%s"]
from offpeak.cli import script
script()
"""


@pytest.mark.parametrize(
    ("option", "code", "out", "err"),
    [("--help", 0, "Usage: offpeak extend", ""), ("--nonsense", 2, "", "No such option")],
)
def test_a_process_that_ends_early_has_said_everything(option: str, code: int, out: str, err: str) -> None:
    """Once Great Expectations is loaded the command does not wait until Python has taken its modules apart."""
    ended = subprocess.run(
        [sys.executable, "-c", ENDING % option], capture_output=True, text=True, check=False
    )
    assert ended.returncode == code
    assert out in ended.stdout
    assert err in ended.stderr
    assert ended.stdout.endswith("last words\n")

"""Dead letters asked again: only they, whatever the source says by now, into the same table."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from offpeak import Prompt, Vector, Workload, duckdb_table, parquet_table
from offpeak.asked import as_asked
from offpeak.dead_letters import Choice, dead_letters, export_dead_letters
from offpeak.drive import drive
from offpeak.errors import GateRefused, InputError, SpecError
from offpeak.ledger import Run
from offpeak.replay import Replay
from offpeak.run import new_replay, start
from offpeak.states import RunState
from tests.run.making import Place

OTHER_MODELS = {"openai": "openai:gpt-5-nano", "anthropic": "anthropic:claude-sonnet-4-5"}
TABLES = {
    "parquet": parquet_table("{store}/tables/sorting"),
    "duckdb": duckdb_table("{store}/warehouse.duckdb", "sorting"),
}


@pytest.fixture(params=sorted(TABLES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def with_dead_letters(
    place: Place, *, kind: str = "parquet", fault: str = "line_refusal"
) -> tuple[Workload, Run]:
    """A published run of 60 rows of which some were given up on."""
    workload = place.workload(into=TABLES[kind], keep=["text"], max_failed=0.9)
    place.rows(60)
    place.emulator.control.add_fault(fault, times=-1, share=0.2)
    run = place.run(workload)
    place.emulator.control.clear_faults()
    assert 2 < run.facts["dead_letters"] < 30
    return workload, run


def replay(place: Place, workload: Workload, of: Run, choice: Choice | None = None, **changes: Any) -> Run:
    site = place.site()
    wanted = Replay(of=of.run_id, choice=choice or Choice(), changes=changes)
    asked, new, interval = new_replay(workload, site, wanted)
    return drive(asked, site, start(asked, site, new, interval).run_id)


def table(place: Place, run: Run, kind: str = "parquet") -> dict[str, dict[str, Any]]:
    """What readers see, by key."""
    if kind == "parquet":
        rows = place.table(run)
    else:
        with duckdb.connect(str(place.store / "warehouse.duckdb"), read_only=True) as warehouse:
            rows = warehouse.sql("SELECT * FROM sorting").to_arrow_table().to_pylist()
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_only_the_dead_letters_are_asked_and_everything_else_stays_as_it_is(place: Place, kind: str) -> None:
    workload, run = with_dead_letters(place, kind=kind)
    before, billed = table(place, run, kind), place.billed()
    after_run = replay(place, workload, run)
    after = table(place, after_run, kind)
    dead = {key for key, row in before.items() if row["_outcome"] != "answered"}
    assert after_run.state is RunState.PUBLISHED
    assert after_run.facts["replay_of"] == run.run_id
    assert place.billed() - billed == len(dead) == after_run.facts["requests"]
    assert after_run.facts["outcomes"] == {"answered": 60}
    assert {key: row for key, row in after.items() if key not in dead} == {
        key: row for key, row in before.items() if key not in dead
    }
    assert {after[key]["_run"] for key in dead} == {after_run.run_id}
    assert all(after[key]["kind"] for key in dead)


def test_another_model_answers_the_dead_letters_and_provenance_says_so(place: Place, kind: str) -> None:
    workload, run = with_dead_letters(place, kind=kind)
    before = table(place, run, kind)
    after_run = replay(place, workload, run, model=OTHER_MODELS[place.provider], max_output_tokens=900)
    after = table(place, after_run, kind)
    name = OTHER_MODELS[place.provider].partition(":")[2]
    for key, row in after.items():
        asked_now = before[key]["_outcome"] != "answered"
        assert (name in row["_model"]) == asked_now
        assert (row["_run"] == after_run.run_id) == asked_now
        assert (row["_fingerprint"] != before[key]["_fingerprint"]) == asked_now
    assert after_run.model == name
    spent = sum(spend.cost_usd or Decimal(0) for spend in place.site().ledger.spent(run_id=after_run.run_id))
    assert sum(row["_cost_usd"] for row in after.values() if row["_run"] == after_run.run_id) == spent > 0


def test_what_fails_again_stays_a_dead_letter_and_can_be_replayed_once_more(place: Place, kind: str) -> None:
    workload, run = with_dead_letters(place, kind=kind)
    place.emulator.control.add_fault("line_refusal", times=2)
    second = replay(place, workload, run)
    still = [letter.key for letter in dead_letters(place.site(), second.run_id)]
    assert len(still) == second.facts["outcomes"]["refused"] == 2
    assert {key for key, row in table(place, second, kind).items() if row["_outcome"] == "refused"} == set(
        still
    )
    billed = place.billed()
    third = replay(place, workload, second, model=OTHER_MODELS[place.provider])
    assert place.billed() - billed == 2
    assert third.facts["outcomes"] == {"answered": 60}
    after = table(place, third, kind)
    assert len({row["_run"] for row in after.values()}) == 3


def test_dead_letters_that_are_not_chosen_keep_their_outcome_reason_and_cost(place: Place, kind: str) -> None:
    workload, run = with_dead_letters(place, kind=kind)
    before = table(place, run, kind)
    letters = {letter.key: letter for letter in dead_letters(place.site(), run.run_id)}
    chosen = sorted(str(key) for key in letters)[0]
    second = replay(place, workload, run, Choice(key=f"{chosen[:-1]}[{chosen[-1]}]"))
    after = table(place, second, kind)
    assert (second.facts["requests"], second.facts["kept"]) == (1, len(letters) - 1)
    assert after[chosen]["_outcome"] == "answered"
    left = {letter.key: letter for letter in dead_letters(place.site(), second.run_id)}
    assert left == {key: letter for key, letter in letters.items() if key != chosen}
    assert {key: row for key, row in after.items() if key != chosen} == {
        key: row for key, row in before.items() if key != chosen
    }


def test_a_replay_of_some_embeddings_keeps_the_vectors_and_the_other_dead_letters(
    openai_place: Place,
) -> None:
    workload = openai_place.workload(
        prompt=Prompt(user="{{ row.text }}"),
        answer=Vector(8),
        model="openai:text-embedding-3-small",
        max_failed=0.9,
    )
    openai_place.rows(30)
    openai_place.emulator.control.add_fault("line_error_400", times=-1, share=0.3)
    run = openai_place.run(workload)
    openai_place.emulator.control.clear_faults()
    before = table(openai_place, run)
    dead = sorted(key for key, row in before.items() if row["vector"] is None)
    assert 2 < len(dead) < 25
    second = replay(openai_place, workload, run, Choice(key=dead[0]))
    after = table(openai_place, second)
    assert (second.facts["requests"], second.facts["kept"]) == (1, len(dead) - 1)
    assert after[dead[0]]["vector"]
    assert {key: row for key, row in after.items() if key != dead[0]} == {
        key: row for key, row in before.items() if key != dead[0]
    }


def test_a_replay_works_on_the_rows_of_the_run_not_on_the_source(place: Place, kind: str) -> None:
    workload, run = with_dead_letters(place, kind=kind)
    dead = [str(letter.key) for letter in dead_letters(place.site(), run.run_id)]
    place.rows(5, texts={0: "A wholly new text"})  # 55 rows are gone, one has changed
    second = replay(place, workload, run)
    after = table(place, second, kind)
    assert second.facts["rows"] == len(after) == 60
    assert all(after[key]["_outcome"] == "answered" for key in dead)
    assert after["t00000"]["text"] == "My card number 0 is wrong"


def test_a_new_prompt_may_use_what_was_sent_and_the_kept_columns(place: Place) -> None:
    workload, run = with_dead_letters(place)
    second = replay(
        place, workload, run, user="{{ row.sent }} ({{ row.id }})", system="Sort kindly: {{ row.text }}"
    )
    lines = [json.loads(line) for shard in (place.store / "runs").glob("*/*~2/*/shards/*.jsonl")
             for line in shard.read_text().splitlines()]  # fmt: skip
    assert len(lines) == second.facts["requests"] == run.facts["dead_letters"]
    letter = next(iter(dead_letters(place.site(), run.run_id)))
    sent = [text for text in map(json.dumps, lines) if f"{letter.user} ({letter.key})" in text]
    assert len(sent) == 1
    assert f"Sort kindly: {letter.user}" in sent[0]
    assert second.spec["user"] == "{{ row.sent }} ({{ row.id }})"


def test_a_new_prompt_that_needs_a_column_which_was_not_written_down_is_refused(openai_place: Place) -> None:
    workload, run = with_dead_letters(openai_place)
    creates = openai_place.creates()
    with pytest.raises(SpecError, match=r"row\.body.*row\.id, row\.sent, row\.sent_system, row\.text"):
        replay(openai_place, workload, run, user="{{ row.body }}")
    with pytest.raises(InputError, match=r"cannot ask the row with key 't000.*the prompt is empty"):
        replay(openai_place, workload, run, user="{% if row.id < 'a' %}{{ row.sent }}{% endif %}")
    assert openai_place.creates() == creates


def test_a_replay_with_the_same_model_of_a_changed_dag_file_sends_the_texts_as_they_were(
    openai_place: Place,
) -> None:
    _, run = with_dead_letters(openai_place)
    changed = openai_place.workload(
        into=TABLES["parquet"], keep=["text"], max_failed=0.9, prompt=Prompt(user="New: {{ row.text }}")
    )
    second = replay(openai_place, changed, run)
    assert second.spec["user"] == "{{ row.text }}"
    assert second.facts["outcomes"] == {"answered": 60}


def test_a_replay_that_broke_off_is_taken_up_and_pays_nothing_twice(place: Place) -> None:
    from offpeak.advance import advance
    from offpeak.run import connect, fail

    workload, run = with_dead_letters(place)
    site, billed = place.site(), place.billed()
    wanted = Replay(of=run.run_id, changes={"model": OTHER_MODELS[place.provider]})
    asked, new, interval = new_replay(workload, site, wanted)
    begun = start(asked, site, new, interval)
    client = connect(asked, site)
    advance(asked, site, client, begun.run_id, 1)
    client.close()
    fail(site, begun.run_id, "The machine went away.")
    second = replay(place, workload, run, model=OTHER_MODELS[place.provider])
    assert second.run_id == begun.run_id
    assert place.billed() - billed == run.facts["dead_letters"]


def test_later_steps_find_the_replays_own_model_from_its_run(place: Place) -> None:
    workload, run = with_dead_letters(place)
    second = replay(place, workload, run, model=OTHER_MODELS[place.provider], max_output_tokens=77)
    asked = as_asked(workload, second)
    assert (asked.model, asked.max_output_tokens) == (OTHER_MODELS[place.provider], 77)
    assert as_asked(workload, run) is workload


def test_another_provider_can_answer_what_one_refused(openai_place: Place) -> None:
    workload, run = with_dead_letters(openai_place)
    second = replay(openai_place, workload, run, model="anthropic:claude-haiku-4-5")
    assert second.facts["outcomes"] == {"answered": 60}
    assert {shard.provider for shard in openai_place.site().ledger.shards(second.run_id)} == {"anthropic"}


def test_checks_judge_the_whole_edition_and_a_no_keeps_the_old_table(openai_place: Place) -> None:
    _, run = with_dead_letters(openai_place)
    openai_place.emulator.control.add_fault("line_refusal", times=-1)
    strict = openai_place.workload(into=TABLES["parquet"], keep=["text"], max_failed=0.0)
    with pytest.raises(GateRefused):
        replay(openai_place, strict, run)
    assert {row["_run"] for row in table(openai_place, run).values()} == {run.run_id}
    openai_place.emulator.control.clear_faults()
    assert replay(openai_place, strict, run).facts["outcomes"] == {"answered": 60}


def test_rows_that_were_never_requests_stay_out_of_a_replay(openai_place: Place) -> None:
    openai_place.rows(20, texts={3: "  "})
    run = openai_place.run(openai_place.workload(max_failed=0.5))
    with pytest.raises(SpecError, match="put right in its source and asked by the next run"):
        replay(openai_place, openai_place.workload(max_failed=0.5), run)


def test_a_run_that_a_later_edition_has_replaced_is_not_replayed(openai_place: Place) -> None:
    workload, run = with_dead_letters(openai_place)
    second = replay(openai_place, workload, run)
    with pytest.raises(SpecError, match=f"{second.run_id} was published for the same interval after it"):
        replay(openai_place, workload, run)
    with pytest.raises(SpecError, match="No dead letter of run"):
        replay(openai_place, workload, second)
    with pytest.raises(SpecError, match="'keep' is no outcome"):
        Choice(outcomes=("keep",))


def test_dead_letters_are_exported_whole_in_three_formats(openai_place: Place, tmp_path: Path) -> None:
    _, run = with_dead_letters(openai_place)
    site, count = openai_place.site(), run.facts["dead_letters"]
    for name in ("letters.jsonl", "letters.csv", "letters.parquet"):
        assert export_dead_letters(site, run.run_id, tmp_path / name) == count
    lines = [json.loads(line) for line in (tmp_path / "letters.jsonl").read_text().splitlines()]
    with (tmp_path / "letters.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert lines == pq.read_table(tmp_path / "letters.parquet").to_pylist()
    assert [cell["user"] for cell in cells] == [line["user"] for line in lines]
    assert {line["system"] for line in lines} == {"Sort bank tickets."}
    assert export_dead_letters(site, run.run_id, tmp_path / "none.csv", Choice(outcomes=("expired",))) == 0
    with pytest.raises(SpecError, match=r"end it with \.jsonl, \.csv, \.parquet"):
        export_dead_letters(site, run.run_id, tmp_path / "letters.xlsx")


def test_a_dag_run_says_in_its_conf_what_to_replay_and_takes_no_prompt() -> None:
    from offpeak.on_airflow.operators import replay_of_conf

    conf = {"replay": "sorting/x", "outcomes": "refused", "model": "openai:gpt-5", "user": "{{ row.sent }}"}
    assert replay_of_conf(conf) == Replay(
        of="sorting/x", choice=Choice(outcomes=("refused",)), changes={"model": "openai:gpt-5"}
    )
    with pytest.raises(SpecError, match="'fine' is no outcome of a dead letter"):
        replay_of_conf({"replay": "sorting/x", "outcomes": ["refused", "fine"]})

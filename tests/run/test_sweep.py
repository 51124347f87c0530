"""What no living run looks after: attached, kept, ended or told of, and never asked again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from offpeak import Workload
from offpeak.advance import Wait, advance
from offpeak.cli.main import group
from offpeak.ledger import Run, Shard
from offpeak.providers.provider import Client, Submission
from offpeak.run import connect, fail
from offpeak.site import Site, utc_now
from offpeak.states import RunState, ShardState
from offpeak.sweep import sweep
from offpeak.swept import Act, Swept
from tests.run.making import CREATE_PATHS, Place

VIRTUAL_HOUR = 3_600.0


@contextmanager
def client_of(workload: Workload, site: Site) -> Iterator[Client]:
    client = connect(workload, site)
    try:
        yield client
    finally:
        client.close()


def begun(place: Place, workload: Workload, *, hour: int = 8) -> Run:
    """A planned run with each shard carried one step: in flight, or in the middle of its submission."""
    site = place.site()
    run = place.begin(workload, site, hour=hour)
    with client_of(workload, site) as client:
        for number in sorted({shard.key.number for shard in site.ledger.shards(run.run_id)}):
            assert isinstance(advance(workload, site, client, run.run_id, number), Wait)
    return run


def abandoned(place: Place, workload: Workload, state: RunState = RunState.FAILED) -> Run:
    """A run that ended with everything it sent still at the provider."""
    run = begun(place, workload)
    site = place.site()
    if state is RunState.FAILED:
        return fail(site, run.run_id, "The machine went away.")
    return site.ledger.move_run(run.run_id, state, since=(RunState.RUNNING,), now=site.now())


def let_batches_end(place: Place, workload: Workload) -> None:
    place.emulator.control.advance(VIRTUAL_HOUR)
    site, end = place.site(), time.monotonic() + 30
    with client_of(workload, site) as client:
        for create in place.emulator.control.creates():
            while create.provider == place.provider and not client.look(create.batch_id).status.ended:
                assert time.monotonic() < end, f"{create.batch_id} does not end"
                time.sleep(0.01)


def swept(place: Place, workload: Workload, *, later: timedelta = timedelta(0)) -> Swept:
    site = replace(place.site(), now=lambda: utc_now() + later)
    return sweep(site, lambda run: workload, also=[workload])


def shards(place: Place, run: Run) -> list[Shard]:
    return place.site().ledger.shards(run.run_id)


def cancels(place: Place) -> int:
    return place.emulator.control.count("POST", f"{CREATE_PATHS[place.provider]}/{{id}}/cancel")


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
def test_what_an_abandoned_run_finished_is_kept_and_never_asked_again(place: Place, state: RunState) -> None:
    place.rows(40)
    workload = place.workload(shard_requests=20, name="sorting")
    run = abandoned(place, workload, state)
    let_batches_end(place, workload)
    found = swept(place, workload)
    assert found.counts[Act.HARVESTED] == 2
    assert not found.for_person
    assert [shard.state for shard in shards(place, run)] == [ShardState.COLLECTED] * 2
    after = place.run(workload, hour=9)
    assert after.facts["carried"] == place.billed() == 40


def test_a_harvest_opens_no_round_that_nobody_would_send(place: Place) -> None:
    place.rows(20)
    place.emulator.control.add_fault("line_error_500", times=-1, share=0.3)
    workload = place.workload()
    run = abandoned(place, workload, RunState.CANCELLED)
    let_batches_end(place, workload)
    place.emulator.control.clear_faults()
    swept(place, workload)
    (shard,) = shards(place, run)
    assert shard.outcomes["errored"] > 0
    after = place.run(workload, hour=9)
    assert after.facts["requests"] == shard.outcomes["errored"]
    assert after.facts["outcomes"] == {"answered": 20}


def test_a_new_run_first_keeps_what_its_own_abandoned_runs_finished(place: Place) -> None:
    place.rows(30)
    workload = place.workload()
    abandoned(place, workload)
    let_batches_end(place, workload)
    after = place.run(workload, hour=9)
    assert after.facts["earlier"] == {"harvested": 1}
    assert (after.facts["carried"], after.facts["requests"]) == (30, 0)
    assert place.billed() == 30


def test_a_provider_that_cannot_be_looked_at_does_not_stop_a_new_run(openai_place: Place) -> None:
    openai_place.rows(10)
    workload = openai_place.workload()
    abandoned(openai_place, workload)
    openai_place.emulator.control.add_fault("server_error", method="GET", path="/v1/batches")
    assert openai_place.run(workload, hour=9).facts["earlier"] == {"not_looked_at": 1}


def test_a_batch_that_still_runs_is_told_of_and_one_of_a_cancelled_run_is_ended(place: Place) -> None:
    place.rows(10)
    place.emulator.control.add_fault("stuck", times=-1)
    workload = place.workload()
    run = abandoned(place, workload)
    found = swept(place, workload, later=timedelta(hours=3))
    (line,) = [line for line in found.lines if line.act is Act.RUNNING]
    assert "for 3 h" in line.said
    assert (line.run_id, line.for_person, cancels(place)) == (run.run_id, False, 0)
    assert swept(place, workload, later=timedelta(hours=27)).for_person  # no provider takes that long
    site = place.site()
    site.ledger.move_run(run.run_id, RunState.RUNNING, since=(RunState.FAILED,), now=site.now())
    site.ledger.move_run(run.run_id, RunState.CANCELLED, since=(RunState.RUNNING,), now=site.now())
    found = swept(place, workload)
    assert (found.counts[Act.CANCELLED], cancels(place)) == (1, 1)
    let_batches_end(place, workload)
    assert swept(place, workload).counts[Act.HARVESTED] == 1
    assert shards(place, run)[0].outcomes


def test_a_living_run_is_left_alone_and_an_idle_one_needs_a_person(place: Place) -> None:
    place.rows(10)
    workload = place.workload()
    run = begun(place, workload)
    let_batches_end(place, workload)
    found = swept(place, workload, later=timedelta(hours=1))
    assert Act.HARVESTED not in found.counts
    assert shards(place, run)[0].state is ShardState.IN_FLIGHT
    found = swept(place, workload, later=timedelta(hours=5))
    (line,) = [line for line in found.lines if line.act is Act.HARVESTED]
    assert line.for_person
    assert "nobody carries on this running run" in line.said
    assert place.run(workload).run_id == run.run_id
    assert place.creates() == 1


def test_a_batch_whose_answer_was_lost_is_attached_and_kept_after_the_worker_died(place: Place) -> None:
    place.rows(15)
    workload = place.workload()
    place.emulator.control.add_fault("lost_response", method="POST", path=CREATE_PATHS[place.provider])
    run = abandoned(place, workload)
    assert shards(place, run)[0].state is ShardState.SUBMITTING
    let_batches_end(place, workload)
    found = swept(place, workload)
    assert (found.counts[Act.ATTACHED], found.counts[Act.HARVESTED]) == (1, 1)
    after = place.run(workload, hour=9)
    assert (after.facts["carried"], place.creates(), place.billed()) == (15, 1, 15)


def test_a_submission_that_made_nothing_is_free_again_once_that_is_proven(place: Place) -> None:
    place.rows(5)
    workload = place.workload()
    path = CREATE_PATHS[place.provider]
    place.emulator.control.add_fault("bad_gateway", method="POST", path=path)
    run = abandoned(place, workload)
    (before,) = shards(place, run)
    assert before.state is ShardState.SUBMITTING
    place.emulator.control.add_fault("list_fails", times=-1)
    found = swept(place, workload, later=timedelta(hours=1))
    assert found.counts[Act.STUCK] >= 1  # could not look is never not there
    assert shards(place, run)[0].state is ShardState.SUBMITTING
    place.emulator.control.clear_faults()
    found = swept(place, workload, later=timedelta(hours=1))
    assert found.counts[Act.FREED] == 1
    (shard,) = shards(place, run)
    assert (shard.state, shard.batch_id) == (ShardState.WRITTEN, None)
    assert not found.for_person


def test_a_submission_in_a_living_workers_hands_is_not_touched(openai_place: Place) -> None:
    openai_place.rows(5)
    workload, site = openai_place.workload(), openai_place.site()
    run = openai_place.begin(workload, site)
    (shard,) = site.ledger.shards(run.run_id)
    held = site.ledger.claim(shard.key, site.worker, timedelta(minutes=15), now=site.now())
    assert held is not None
    with client_of(workload, site) as client:
        client.create(second_submission(openai_place, workload, held, client))
    assert swept(openai_place, workload).lines == ()
    assert site.ledger.shard(shard.key) == held


def second_submission(place: Place, workload: Workload, shard: Shard, client: Client) -> Submission:
    """The shard's own submission, as a worker that knows of no other would send it."""
    submission = Submission(
        run_id=shard.key.run_id,
        round=shard.key.round,
        shard=shard.key.number,
        tag=shard.tag,
        path=place.store / shard.file,
        request_count=shard.request_count,
        size_bytes=shard.size_bytes,
        ask=workload.ask,
    )
    return replace(submission, upload_id=client.upload(submission))


def test_a_batch_of_a_shard_that_knows_of_none_is_attached_by_its_tag(place: Place) -> None:
    place.rows(8)
    workload, site = place.workload(), place.site()
    run = place.begin(workload, site)
    (shard,) = site.ledger.shards(run.run_id)
    with client_of(workload, site) as client:
        client.create(second_submission(place, workload, shard, client))
    fail(site, run.run_id, "The ledger was restored from a backup.")
    let_batches_end(place, workload)
    found = swept(place, workload)
    assert (found.counts[Act.ATTACHED], found.counts[Act.HARVESTED]) == (1, 1)
    assert place.run(workload, hour=9).facts["carried"] == 8
    assert place.billed() == 8


def test_a_second_batch_of_a_shard_is_ended_and_its_bill_recorded_once(place: Place) -> None:
    place.rows(8)
    workload, site = place.workload(), place.site()
    run = place.run(workload)
    (shard,) = shards(place, run)
    place.emulator.control.add_fault("stuck")
    with client_of(workload, site) as client:
        stray = client.create(second_submission(place, workload, shard, client))
    found = swept(place, workload)
    if place.provider == "openai":
        assert (found.counts[Act.STRAY], cancels(place), found.for_person) == (1, 1, False)
    else:  # a live batch cannot be told from a stranger's there
        assert (found.counts, cancels(place)) == ({Act.UNPROVEN: 1}, 0)
        with client_of(workload, site) as client:
            client.cancel(stray.id)
    let_batches_end(place, workload)
    before = site.ledger.spent(run_id=run.run_id)
    found = swept(place, workload)
    (line,) = [line for line in found.lines if line.act is Act.STRAY]
    assert line.for_person
    assert f"batch {stray.id} was made of it too: it billed $" in line.said
    assert len(site.ledger.spent(run_id=run.run_id)) == len(before) + 1
    again = swept(place, workload)
    assert Act.STRAY not in again.counts
    assert not again.for_person
    assert site.ledger.run(run.run_id).facts["strays"] == [stray.id]
    assert not site.ledger.stray(stray.id, site.ledger.spent(run_id=run.run_id)[-1])
    assert len(site.ledger.spent(run_id=run.run_id)) == len(before) + 1


def test_batches_and_files_of_another_ledger_are_told_of_and_never_touched(
    place: Place, tmp_path: Path
) -> None:
    other = Place(folder=tmp_path / "other", emulator=place.emulator, provider=place.provider)
    other.rows(6)
    place.emulator.control.freeze()
    theirs = begun(other, other.workload())
    place.rows(6)
    workload = place.workload()
    files = place.emulator.control.state().files
    live = swept(place, workload, later=timedelta(hours=30))
    assert live.counts == {Act.FOREIGN if place.provider == "openai" else Act.UNPROVEN: 1}
    place.emulator.control.freeze(False)
    let_batches_end(place, workload)
    found = swept(place, workload, later=timedelta(hours=30))
    assert found.counts == {Act.FOREIGN: 1}
    assert "another ledger" in found.lines[0].said
    assert not found.for_person
    assert cancels(place) == 0
    assert place.emulator.control.state().files >= files
    assert other.run(other.workload()).run_id == theirs.run_id


def test_uploaded_files_are_deleted_once_their_shard_is_collected(openai_place: Place) -> None:
    openai_place.rows(20)
    workload = openai_place.workload(shard_requests=10)
    openai_place.run(workload)
    openai_place.rows(25)
    openai_place.emulator.control.freeze()  # results would be files too
    flying = begun(openai_place, workload, hour=9)
    files = openai_place.emulator.control.state().files
    found = swept(openai_place, workload)
    assert found.counts == {Act.DELETED: 2}
    assert openai_place.emulator.control.state().files == files - 2
    assert swept(openai_place, workload).lines == ()
    openai_place.emulator.control.freeze(False)
    assert openai_place.run(workload, hour=9).run_id == flying.run_id


def test_a_provider_out_of_reach_is_a_line_and_no_matter_for_a_person(place: Place) -> None:
    place.rows(5)
    workload = place.workload()
    abandoned(place, workload)
    place.emulator.control.add_fault("unavailable", times=-1)
    found = swept(place, workload)
    assert set(found.counts) == {Act.STUCK}
    assert not found.for_person
    place.emulator.control.clear_faults()
    place.emulator.control.add_fault("bad_key", times=-1)
    assert swept(place, workload).for_person


def test_the_command_says_what_it_did_and_its_exit_code_whether_a_person_is_needed(
    openai_place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.run.test_cli import DAG_FILE

    for name, value in openai_place.env.items():
        monkeypatch.setenv(name, value)
    dag_file = openai_place.folder / "kinds.py"
    dag_file.write_text(DAG_FILE % "openai:gpt-5-mini")
    from offpeak.dag_files import load

    workload = load(str(dag_file))
    (openai_place.store / "in").mkdir(parents=True)
    rows = [json.dumps({"id": f"r{n}", "text": f"Refund number {n}, please"}) for n in range(5)]
    (openai_place.store / "in" / "rows.jsonl").write_text("\n".join(rows))
    run = abandoned(openai_place, workload)
    let_batches_end(openai_place, workload)
    arguments = ["sweep", "--store", str(openai_place.store), "--json"]
    assert group.main(arguments, standalone_mode=False) == 1  # nobody said which DAG file
    told = json.loads(capsys.readouterr().out)
    assert "does not say which DAG file" in told["lines"][0]["said"]
    site = openai_place.site()
    site.ledger.note_run(run.run_id, {"dag_file": str(dag_file)}, now=site.now())
    assert group.main(arguments, standalone_mode=False) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["counts"]["harvested"], told["for_person"]) == (1, False)
    assert group.main([*arguments[:-1], str(dag_file)], standalone_mode=False) == 0
    assert "nothing was left lying about" in capsys.readouterr().err

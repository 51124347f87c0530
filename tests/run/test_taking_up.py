"""Shards of a run that fail, or are taken up, side by side: only one worker moves the run, none stumbles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from offpeak.run import fail, take_up
from offpeak.site import Site, utc_now
from offpeak.states import RunState
from tests.run.making import Place


def _overtaken(site: Site, by: Callable[[], object]) -> Site:
    """A worker that another one overtakes between its look at the run and its move."""
    others = [by]

    def now() -> datetime:
        while others:
            others.pop()()
        return utc_now()

    return replace(site, now=now)


def test_a_worker_that_is_overtaken_while_it_takes_a_run_up_goes_on_with_it(openai_place: Place) -> None:
    openai_place.rows(3)
    site = openai_place.site()
    run = openai_place.begin(openai_place.workload(), site)
    fail(site, run.run_id, "The first try broke off.")
    late = _overtaken(openai_place.site(), lambda: take_up(site, run.run_id))
    assert take_up(late, run.run_id).state is RunState.RUNNING


def test_of_two_workers_that_fail_a_run_the_first_ones_reason_stands(openai_place: Place) -> None:
    openai_place.rows(3)
    site = openai_place.site()
    run = openai_place.begin(openai_place.workload(), site)
    late = _overtaken(openai_place.site(), lambda: fail(site, run.run_id, "Shard 1 was refused."))
    assert fail(late, run.run_id, "Shard 2 was refused.").state is RunState.FAILED
    assert site.ledger.run(run.run_id).error == "Shard 1 was refused."

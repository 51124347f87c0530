"""A worker killed anywhere in an escalation: the next one goes on, and no row is paid for twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from offpeak.states import Route
from tests.run.virtual import STARTS, evening, published_at, stuck

ROOT = Path(__file__).resolve().parents[2]
DUE = timedelta(hours=3)
UNDER_WAY = 16
"""Requests that are under way at once, without a stated limit; their answers die with the process."""
POINTS = [
    ("realtime.escalate", "before", 1),
    ("realtime.escalate", "after", 1),
    ("client.cancel", "before", 1),
    ("client.cancel", "after", 1),
    ("ledger.collect", "before", 2),
    ("ledger.collect", "after", 2),
    ("realtime.claim", "before", 1),
    ("realtime.claim", "after", 1),
    ("client.aask", "before", 1),
    ("client.aask", "after", 20),
    ("realtime.collect", "before", 1),
    ("realtime.collect", "after", 1),
]
PROVIDERS = ("openai", "anthropic", "anthropic", "openai")
SCENES = [(PROVIDERS[number % 4], *point) for number, point in enumerate(POINTS)]
"""Each point at one of the providers: they differ in nothing that dies here."""


@pytest.mark.parametrize(
    ("provider", "verb", "side", "call"),
    [pytest.param(*one, marks=pytest.mark.slow if one[0] == "anthropic" else ()) for one in SCENES],
    ids=[" ".join(map(str, one)) for one in SCENES],
)
def test_an_escalation_that_was_killed_is_finished_by_the_next_worker(
    tmp_path: Path, provider: str, verb: str, side: str, call: int
) -> None:
    with evening(tmp_path, provider, {2: stuck(0.4, cancelling_seconds=300)}) as place:
        place.rows(80)
        settings = {"route": "auto", "due": DUE.total_seconds(), "shard_requests": 40}
        work = place.workload(**{**settings, "due": DUE})
        run = place.begin(work, place.site())
        job = {
            "folder": str(tmp_path),
            "provider": provider,
            "url": place.emulator.url,
            "passed": place.passed.total_seconds(),
            "run_id": run.run_id,
            "workload": settings,
            "verb": verb,
            "side": side,
            "call": call,
        }
        died = subprocess.run(
            [sys.executable, "-m", "tests.run.dying", json.dumps(job)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert died.returncode == -signal.SIGKILL, died.stderr
        now = datetime.fromtimestamp(place.emulator.control.state().now, UTC)
        place.passed = now - STARTS  # the dead one moved the clock
        run = place.drive(work, run.run_id)
        assert run.facts["outcomes"] == {"answered": 80}
        assert published_at(run) <= STARTS + DUE
        lost = place.billed() - 80
        assert 0 <= lost <= (UNDER_WAY + 64 if verb == "client.aask" else 0)
        assert place.creates() == 2
        site = place.site()
        assert list(run.facts["escalated"]) == ["2"]
        spends = site.ledger.spent(run_id=run.run_id)
        assert sorted(spend.route for spend in spends) == [Route.BATCH, Route.BATCH, Route.REALTIME]

"""The step to 0003: a ledger with rows gains alerts, and its shards a route."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text

from offpeak.ledger import Ledger, NewAlert, migrate
from offpeak.ledger.database import Database
from offpeak.states import AlertCause, Route
from tests.ledger.making import NOW, new_shard, running


def at_0002(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger as the release before this one made it, with a run and its shard."""

    def upgrade(connection: Any) -> None:
        config = Config()
        config.set_main_option("script_location", "offpeak.ledger:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")

    with monkeypatch.context() as old:
        old.setattr(migrate, "REVISIONS", ("0001", "0002"))
        old.setattr(migrate, "_upgrade", upgrade)
        database = Database(url)
        with database.changing(NOW) as change:
            for statement in _ROWS:
                change.connection.execute(text(statement))
        database.close()


_AT = "'2026-11-22T08:00:00.000000Z'"
_ROWS = (
    f"""INSERT INTO offpeak_runs (sequence, run_id, workload, interval_key, interval_start, interval_end,
        edition, state, spec_hash, spec, store, provider, model, created_at, updated_at, started_by, facts, error)
        VALUES (7, 'w/i', 'w', 'i', {_AT}, {_AT}, 1, 'running', 'h', '{{}}', '/s', 'p', 'm', {_AT}, {_AT},
        '', '{{}}', '')""",
    f"""INSERT INTO offpeak_shards (run_id, round, number, tag, file, request_count, size_bytes,
        estimated_tokens, provider, account, model, endpoint, state, attempt, updated_at, holder, results,
        outcomes, usage, note)
        VALUES ('w/i', 1, 1, 'aa', 'f', 10, 1, 1, 'p', 'a', 'm', '', 'written', 0, {_AT}, '', '', '{{}}',
        '{{}}', '')""",
)


def test_the_shards_of_an_older_ledger_are_on_the_batch_route(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_0002(ledger_url, monkeypatch)
    ledger = Ledger(ledger_url)
    (shard,) = ledger.shards("w/i")
    assert (shard.route, shard.request_count) == (Route.BATCH, 10)
    with ledger._database.reading() as connection:
        assert {"offpeak_alerts", "offpeak_deliveries"} <= set(inspect(connection).get_table_names())
        assert connection.execute(text("SELECT version_num FROM offpeak_version")).scalar() == "0003"
    alert = ledger.alerts.open(
        NewAlert(key="k", cause=AlertCause.LATE, subject="w/i", workload="w", run_id="w/i", essence="e"),
        now=NOW,
    )
    assert ledger.alerts.about(["w/i"]) == [alert]
    ledger.close()


def test_a_shard_keeps_the_route_it_was_written_with(ledger: Ledger) -> None:
    (key,) = running(ledger)
    assert ledger.shard(key).route is Route.BATCH
    assert new_shard("x").route is Route.BATCH


def test_a_key_is_open_once_and_can_be_opened_again_after_it_was_resolved(ledger: Ledger) -> None:
    new = NewAlert(key="k", cause=AlertCause.LATE, subject="s", workload="w", run_id="", essence="e")
    first, second = ledger.alerts.open(new, now=NOW), ledger.alerts.open(new, now=NOW)
    assert (first.sequence, first.version) == (second.sequence, second.version)
    resolved = ledger.alerts.resolve(first.sequence, {"resolution": "over"}, now=NOW)
    assert resolved is not None
    assert (resolved.version, resolved.facts) == (2, {"resolution": "over"})
    assert ledger.alerts.resolve(first.sequence, {}, now=NOW) is None
    third = ledger.alerts.open(new, now=NOW)
    assert (third.version, third.resolved_at) == (1, None)
    assert [one.sequence for one in ledger.alerts.latest("w")] == [third.sequence, first.sequence]
    assert [one.sequence for one in ledger.alerts.latest(open_only=True)] == [third.sequence]

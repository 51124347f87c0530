"""Offpeak: rows read, spooled, fingerprinted, folded and cut into shards, with a SQLite ledger."""

from __future__ import annotations

from offpeak.memory import keep_little
from tests.bench import runs
from tests.bench.sent import requests_in
from tests.bench.work import Outcome, Place


def prepare(place: Place) -> None:
    keep_little()  # as each process of Offpeak's begins
    import pyarrow.parquet  # noqa: F401
    import sqlalchemy  # noqa: F401

    import offpeak.plan
    import offpeak.run  # noqa: F401

    runs.site(place.out).ledger.runs("bench")  # the tables are made


def run(place: Place) -> None:
    runs.plan(runs.bench_workload(place.data, "chat"), runs.site(place.out))


def outcome(place: Place) -> Outcome | None:
    return requests_in((place.out / runs.STORE).rglob("shards/*.jsonl"))

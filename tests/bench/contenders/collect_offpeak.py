"""Offpeak: results files → validated answers → joined with the run's rows → the file that would be judged.

The variant names the kind of results; with `-alone` it ends at the results files of the shards, as a mapped
task on Airflow does, and is not joined with the rows.
"""

from __future__ import annotations

from offpeak.memory import keep_little
from tests.bench import runs
from tests.bench.answered import tickets_in, vectors_in
from tests.bench.work import Outcome, Place


def prepare(place: Place) -> None:
    keep_little()  # as each process of Offpeak's begins
    import pyarrow.parquet  # noqa: F401

    import offpeak.assemble
    import offpeak.collect  # noqa: F401

    runs.copy(place.data, place.out)
    runs.site(place.out).ledger.runs("bench")


def run(place: Place) -> None:
    from offpeak.assemble import assemble
    from offpeak.collect import collect

    kind, _, alone = place.variant.partition("-")
    workload, at = runs.bench_workload(place.data, kind), runs.site(place.out)
    (found,) = at.ledger.runs("bench")
    client = runs.ResultFiles(place.data / "results")
    for shard in at.ledger.shards(found.run_id):
        collect(workload, at, client, shard, runs.ended(shard))
    if not alone:
        assemble(workload, at, at.ledger.run(found.run_id))


def outcome(place: Place) -> Outcome | None:
    kind, _, alone = place.variant.partition("-")
    read = vectors_in if kind in ("floats", "base64") else tickets_in
    return None if alone else read((place.out / runs.STORE).rglob("staged.parquet"))

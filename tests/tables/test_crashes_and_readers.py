"""The contract of every kind of table when a publish dies in the middle, or somebody reads during it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tables.conftest import Place
from tests.tables.staging import layout, many, row, staged

CRASH = """
import os, signal, sys
from pathlib import Path
import offpeak.tables.{kind} as module
from offpeak.connections import EnvConnections
from offpeak.store import Store
from tests.tables.staging import layout, many, staged

def killed(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

{patch}
table = module.{kind}_table(*{arguments}).open(Store({store!r}), EnvConnections({{}}))
table.publish(staged(Path({folder!r}), many(2000, layout(), "run-2"), run="run-2", hour=8))
"""
PATCHES = {
    # the file is written but not yet in its place
    "parquet": "Path.replace = killed",
    # everything is merged but not yet committed
    "duckdb": "module.OpenDuckDB._note = killed",
    "postgres": "module.OpenPostgres._note = killed",
}


def test_a_process_killed_in_the_middle_leaves_readers_the_old_table(place: Place, tmp_path: Path) -> None:
    table = place.open()
    first = table.publish(staged(tmp_path, [row("a"), row("key-00000001", "old")]))
    spec: Any = place.spec
    arguments = {
        "parquet": lambda: (spec.address,),
        "duckdb": lambda: (spec.database, spec.table),
        "postgres": lambda: (spec.connection, spec.table),
    }[place.kind]()
    script = CRASH.format(
        kind=place.kind,
        patch=PATCHES[place.kind],
        arguments=repr(arguments),
        store=place.store.root,
        folder=str(tmp_path),
    )
    died = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, check=False
    )
    assert died.returncode == -9, died.stderr.decode()
    assert {key: each["intent"] for key, each in place.rows().items()} == {
        "a": "refund",
        "key-00000001": "old",
    }
    assert table.last("tickets") == first
    # the next try does the whole of it
    table.publish(staged(tmp_path, many(2000, layout(), "run-2"), run="run-2", hour=8))
    assert place.rows()["key-00000001"]["intent"] == "intent of run-2"
    assert len(place.read()) == (2001 if place.merges else 2000)


def test_a_reader_during_a_large_publish_never_sees_a_mixture(place: Place, tmp_path: Path) -> None:
    count = 200_000
    table = place.open()
    table.publish(staged(tmp_path, many(count, layout(), "run-1"), run="run-1"))
    seen: list[frozenset[tuple[str, int]]] = []
    done, looked = threading.Event(), threading.Event()
    problems: list[BaseException] = []

    def poll() -> None:
        look = counter(place)
        try:
            while not done.is_set():
                seen.append(look())
                looked.set()
        except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
            problems.append(error)
            looked.set()

    reader = threading.Thread(target=poll)
    reader.start()
    looked.wait(30)
    table.publish(staged(tmp_path, many(count, layout(), "run-2"), run="run-2"))
    done.set()
    reader.join()
    seen.append(counter(place)())
    old, new = frozenset({("intent of run-1", count)}), frozenset({("intent of run-2", count)})
    assert not problems
    assert seen[0] == old
    assert seen[-1] == new
    assert set(seen) == {old, new}


def counter(place: Place) -> Callable[[], frozenset[tuple[str, int]]]:
    """How many rows of which answer a reader sees in one query."""
    import duckdb
    import psycopg

    spec: Any = place.spec
    if place.kind == "postgres":
        url = spec.connection.replace("+psycopg", "")

        def look() -> frozenset[tuple[str, int]]:
            with psycopg.connect(url) as connection:
                query = "SELECT intent, count(*) FROM tickets GROUP BY intent"
                return frozenset(connection.execute(query).fetchall())

        return look
    source = (
        "tickets"
        if place.kind == "duckdb"
        else f"read_parquet('{place.store.root}/tickets/*/answers.parquet')"
    )
    file = f"{place.store.root}/w.duckdb" if place.kind == "duckdb" else ":memory:"

    def look_with_duckdb() -> frozenset[tuple[str, int]]:
        while True:
            try:
                connection = duckdb.connect(file)
            except duckdb.ResourceInUseException:  # the publish is opening the file at this moment
                continue
            with connection:
                query = f"SELECT intent, count(*) FROM {source} GROUP BY intent"
                return frozenset(connection.execute(query).fetchall())

    return look_with_duckdb

"""The demo's items use every level, and the second night is an ordinary one."""

from __future__ import annotations

from pathlib import Path

from offpeak.dag_files import load_spec
from offpeak.demo import digest_items
from offpeak.digest import Digest
from offpeak.stage import finish
from tests.digest.making import Desk, night

DAG_FILE = Path(__file__).resolve().parents[2] / "dags" / "daily_digest.py"


def test_the_demo_has_two_nights_the_first_with_every_level(desk: Desk) -> None:
    digest_items.write(desk.store)
    spec = load_spec(str(DAG_FILE))
    assert isinstance(spec, Digest)
    assert night().start == digest_items.FIRST_NIGHT
    first = desk.stages(spec, night())
    assert all(run.facts["rows"] > 1 for run in first.values())
    finished = finish(spec.pipeline, desk.site(), night())
    assert (finished.facts["groups"], finished.facts["unanswered"], finished.facts["unread"]) == (6, [], 0)
    digest_items.change(desk.store)
    second = desk.stages(spec, night(1))
    assert [run.facts["rows"] for run in second.values()] == [0, 0, 6]


def test_the_demo_writes_the_same_items_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        digest_items.write(tmp_path / name)
    one, two = ((tmp_path / name / digest_items.ROWS).read_bytes() for name in ("one", "two"))
    assert one == two

"""Real data: commits of a project by day, and transcripts of meetings longer than a window."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from offpeak import jsonl, parquet
from offpeak.site import Interval
from tests.digest.making import NIGHT, Desk, night


def test_transcripts_longer_than_a_window_are_digested_in_levels(any_desk: Desk, data_folder: Path) -> None:
    source = data_folder / "digests" / "meetings_product.parquet"
    meetings = pq.read_table(source).slice(0, 6).to_pylist()
    (any_desk.store / "items").mkdir(parents=True)
    pq.write_table(pq.read_table(source).slice(0, 6), any_desk.store / "items" / "meetings.parquet")
    digest = any_desk.digest(
        items=parquet("{store}/items/*.parquet", key="meeting_id"),
        group="meeting_id",
        text="transcript",
        time=None,
        about="the transcript of a design meeting",
        window_tokens=3_000,
        levels=4,
    )
    runs = any_desk.stages(digest, night())
    windows = [run.facts["rows"] for run in runs.values()]
    assert windows[0] > 6
    assert windows[-1] == 6
    rows = any_desk.table(runs["nightly"])
    assert {row["meeting_id"] for row in rows} == {meeting["meeting_id"] for meeting in meetings}
    for row in rows:
        assert len(row["statements"]) >= 1
        assert all(said["items"] == [row["meeting_id"]] for said in row["statements"])
        assert row["unread"] == 0


def test_the_commits_of_a_day_are_cited_by_the_beginning_of_their_hash(desk: Desk, data_folder: Path) -> None:
    source = data_folder / "digests" / "commits_dlt.jsonl"
    digest = desk.digest(
        items=jsonl(str(source), key="commit"),
        group=None,
        text="subject",
        time="committed_at",
        about="the commits of a day to an open source project",
        link="https://github.com/dlt-hub/dlt/commit/{item}",
    )
    day = NIGHT.replace(year=2025, month=5, day=2)
    row = desk.digests(digest, Interval(start=day, end=day.replace(day=3)))["all"]
    keys = {source["id"]: source["item"] for source in row["sources"]}
    cited = {name for said in row["statements"] for name in said["items"]}
    assert row["items"] == len(keys) > 1
    assert all(keys[name].startswith(name) and len(name) == 7 for name in cited)

"""The sample tickets and what is known about them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from offpeak.dag_files import load
from offpeak.demo.samples import SAMPLES, lay_out, right_shares, sample_for
from offpeak.demo.tickets import COUNT, tickets, write_tickets
from offpeak.errors import SpecError

ROOT = Path(__file__).resolve().parents[2]


def test_the_tickets_are_the_same_at_every_call_and_fewer_are_the_first_of_them() -> None:
    made = list(tickets())
    assert len(made) == COUNT
    assert list(tickets()) == made
    assert list(tickets(100)) == made[:100]
    assert len({ticket.ticket_id for ticket in made}) == COUNT


def test_some_tickets_repeat_and_some_hold_characters_that_break_software() -> None:
    texts = [ticket.text for ticket in tickets()]
    assert 0.02 < 1 - len(set(texts)) / COUNT < 0.25
    assert sum(not text.isprintable() for text in texts) > 50
    assert any("<script>" in text for text in texts)
    assert any("{{ row.text }}" in text for text in texts)


def test_every_ticket_has_labels_that_the_workload_knows() -> None:
    workload = load(str(ROOT / "dags" / SAMPLES["ticket_triage"].dag_file))
    columns = {column.name: column for column in workload.form.columns}
    seen = Counter(ticket.intent for ticket in tickets())
    assert set(seen) == set(columns["intent"].values or ())
    assert min(seen.values()) > 300
    assert {ticket.urgency for ticket in tickets()} == set(columns["urgency"].values or ())


def test_the_labels_lie_where_the_workload_does_not_read(tmp_path: Path) -> None:
    sample = SAMPLES["ticket_triage"]
    write_tickets(tmp_path, 50)
    assert pq.read_table(tmp_path / sample.rows).column_names == ["ticket_id", "text"]
    labels = pq.read_table(tmp_path / sample.labels)
    assert labels.column_names == ["ticket_id", "intent", "urgency"]
    assert labels.num_rows == 50
    assert [path.name for path in (tmp_path / "tickets").iterdir()] == ["sample.parquet"]


def test_a_sample_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    write_tickets(tmp_path, 5)
    lay_out(SAMPLES["ticket_triage"], tmp_path)
    assert pq.read_table(tmp_path / "tickets/sample.parquet").num_rows == 5


def test_a_row_that_was_not_answered_counts_as_wrong() -> None:
    truth: list[dict[str, object]] = [{"id": key, "label": "a"} for key in ("1", "2", "3", "4")]
    answers: list[dict[str, object]] = [
        {"id": "1", "label": "a"},
        {"id": "2", "label": "b"},
        {"id": "3", "label": None},
    ]
    assert right_shares(answers, truth, "id") == {"label": 0.25}


def test_a_workload_without_sample_rows_is_named_with_those_that_have_some() -> None:
    with pytest.raises(SpecError, match=r"no sample rows for 'nonsense'.*ticket_triage"):
        sample_for("nonsense")

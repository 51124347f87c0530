"""Sample cases for an evaluation suite: the demo's tickets with their right labels."""

from __future__ import annotations

from pathlib import Path

from offpeak.demo.tickets import Ticket, tickets

COUNT = 1_000
ROWS = "evals/cases.parquet"
_SKIPPED = 2_000
"""Tickets that come before the cases: the first ones have been read by everybody who tried a prompt."""


def write(store: Path, count: int = COUNT) -> None:
    """Put `count` labelled cases into the store: key, text, and what is right. The file appears whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from offpeak.store import Store

    seen: set[str] = set()
    made: list[Ticket] = []
    for ticket in tickets(_SKIPPED + 2 * count):
        if int(ticket.ticket_id[1:]) <= _SKIPPED or ticket.text in seen or len(made) == count:
            continue
        seen.add(ticket.text)
        made.append(ticket)
    columns = {
        "case_id": [ticket.ticket_id for ticket in made],
        "text": [ticket.text for ticket in made],
        "intent": [ticket.intent for ticket in made],
        "urgency": [ticket.urgency for ticket in made],
    }
    with Store(str(store)).writing(ROWS) as path:
        pq.write_table(pa.table(columns), path, compression="zstd")

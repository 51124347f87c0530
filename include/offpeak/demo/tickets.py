"""Sample tickets with known labels: the same ones at every call, varied, some repeated, some nasty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from offpeak.demo import phrases

COUNT, ADDED = 6_000, 180
ROWS = "tickets/sample.parquet"
LABELS = "labels/tickets.parquet"
"""Outside the folder that the workload reads, so that no prompt can see them."""
_SEED = 20_261_122
_REPEATED = 0.03
_ODD = 0.04
_INTENT_WEIGHTS = (12, 20, 12, 9, 12, 12, 15, 8)
_URGENCY_WEIGHTS = {"high": 20, "normal": 60, "low": 20}


class Ticket(NamedTuple):
    ticket_id: str
    text: str
    intent: str
    urgency: str


def tickets(count: int = COUNT) -> Iterator[Ticket]:
    """`count` tickets; the first ones are the same whatever the count."""
    chance = Random(_SEED)  # noqa: S311  (made-up tickets, no secrets)
    earlier: list[Ticket] = []
    for number in range(1, count + 1):
        key = f"T{number:06d}"
        if earlier and chance.random() < _REPEATED:
            ticket = chance.choice(earlier)._replace(ticket_id=key)
        else:
            ticket = _ticket(chance, key)
        earlier.append(ticket)
        yield ticket


def _ticket(chance: Random, key: str) -> Ticket:
    intent = chance.choices(list(phrases.INTENTS), _INTENT_WEIGHTS)[0]
    urgency = chance.choices(list(_URGENCY_WEIGHTS), list(_URGENCY_WEIGHTS.values()))[0]
    parts = (
        chance.choice(phrases.OPENINGS),
        chance.choice(phrases.INTENTS[intent]),
        chance.choice(phrases.URGENCY[urgency]),
    )
    text = phrases.filled(chance, " ".join(part for part in parts if part))
    if chance.random() < _ODD:
        text = chance.choice(phrases.ODD).format(text=text)
    return Ticket(key, text, intent, urgency)


def write_tickets(store: Path, count: int = COUNT) -> None:
    """Put the tickets and, apart from them, their labels into the store. Each file appears whole."""
    import pyarrow as pa

    made = list(tickets(count))
    keys = [ticket.ticket_id for ticket in made]
    rows = pa.table({"ticket_id": keys, "text": [ticket.text for ticket in made]})
    labels = {
        "ticket_id": keys,
        "intent": [ticket.intent for ticket in made],
        "urgency": [ticket.urgency for ticket in made],
    }
    _write(store, LABELS, pa.table(labels))
    _write(store, ROWS, rows)


def add_tickets(store: Path) -> None:
    """What is there a night later: the same tickets and some more."""
    write_tickets(store, COUNT + ADDED)


def _write(store: Path, name: str, table: object) -> None:
    import pyarrow.parquet as pq

    from offpeak.store import Store

    with Store(str(store)).writing(name) as path:
        pq.write_table(table, path, compression="zstd")

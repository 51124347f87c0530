"""The bench's job: bank tickets of about 300 characters, a 1 KB system prompt, an answer of four fields."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from offpeak import Workload

INTENTS = ("card_lost", "refund", "transfer", "exchange_rate", "cash", "top_up", "limit", "other")
CHANNELS = ("mail", "chat", "phone", "app")
DIMENSIONS = 1_536
BLOCK_ROWS = 50_000
EQUAL_SHARE = 0.02
"""Of the rows that say the same as an earlier one."""


class Ticket(BaseModel):
    """What is asked about each ticket."""

    intent: Literal[
        "card_lost", "refund", "transfer", "exchange_rate", "cash", "top_up", "limit", "other"
    ] = Field(description="What the customer wants, by its name in the list above.")
    urgency: int = Field(ge=1, le=5, description="1 can wait for days, 5 is losing money now.")
    summary: str = Field(description="One sentence that a colleague can act on, without personal data.")
    tags: list[str] = Field(description="Up to three words under which the ticket should be found.")


SYSTEM = (
    "You sort the tickets that customers of a bank write to its service desk, so that each reaches the team "
    "that can close it. Read the whole ticket before you decide, and decide by what the customer wants done, "
    "not by the words that happen to occur in it. card_lost: a card was lost, stolen or is used by a stranger. "
    "refund: money should come back, whatever the reason. transfer: a payment is late, wrong or cannot be made. "
    "exchange_rate: the rate or the fee of a currency exchange is asked about or doubted. cash: a machine kept "
    "money or a card, or paid out too little. top_up: an account should be filled and is not. limit: a limit "
    "should be raised or has stopped something. other: none of these, or several of equal weight. Urgency is 5 "
    "when money is being lost at this moment, 4 when the customer cannot pay for what is needed today, 3 for "
    "everything that has a date, 2 for questions and 1 for remarks. Write the summary in English whatever the "
    "language of the ticket is. Never repeat names, numbers of cards or of accounts, or anything else that "
    "names a person."
)

_OPENINGS = (
    "Hello, I am writing about my account because something is not right with it.",
    "Good morning! This is the second time that I have to ask about the same thing.",
    "Bonjour, je vous écris parce que ma carte a été refusée à l'étranger.",
    "Hi there,\nI hope that you can help me quickly, as I am travelling.",
    'Your colleague said "it will be solved by Friday", and it is Monday now.',
    "Guten Tag, ich warte seit über einer Woche auf eine Antwort von Ihnen.",
)
_MATTERS = (
    "My card was lost on the way home and I can see payments that I did not make.",
    "The shop has cancelled the order, but the amount has not come back to my account.",
    "A transfer to my landlord has been pending for days and the rent is due.",
    "The exchange rate on my statement is not the one that the app showed me – 3 % worse!",
    "The machine at the station kept my notes and printed no receipt ☹.",
    "I topped up by bank transfer and the balance is still the old one.",
    "My limit stopped a payment at the pharmacy although there is enough money.",
    "請確認我的帳戶餘額，上個月的付款仍未入帳。",
    "I would like to know which of the two accounts is charged for the yearly fee.",
)
_CLOSINGS = (
    "Please tell me what you need from me to close this today.",
    "I have attached the receipt; the path on my machine is C:\\receipts\\2026.pdf.",
    "Please answer by mail and not by phone, since I am at work until late.",
    "Otherwise I will have to take my account elsewhere, and I would regret that.",
)


def write_rows(path: Path, count: int, *, seed: int = 7) -> None:
    """`count` tickets: ticket_id, channel, text. The same seed gives the same rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(seed)
    names = ["ticket_id", "channel", "text"]
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(name, pa.string()) for name in names])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, BLOCK_ROWS):
            numbers = range(start, min(start + BLOCK_ROWS, count))
            said: list[tuple[str, str]] = []
            for number in numbers:
                again = said and rng.random() < EQUAL_SHARE
                said.append(rng.choice(said) if again else (rng.choice(CHANNELS), _text(rng, number)))
            channels, texts = zip(*said, strict=True)
            ids = [f"T-{number:09d}" for number in numbers]
            columns = [pa.array(column, pa.string()) for column in (ids, channels, texts)]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _text(rng: random.Random, number: int) -> str:
    amount = f"{rng.randrange(10, 9_999)}.{rng.randrange(100):02d}"
    parts = [
        rng.choice(_OPENINGS),
        rng.choice(_MATTERS),
        f"It is about {amount} euros, reference {number:x}-{rng.getrandbits(40):x}.",
        rng.choice(_MATTERS),
        rng.choice(_CLOSINGS),
    ]
    return " ".join(parts)


def workload(kind: str, rows: str) -> Workload:
    """The bench's workload: `chat` and `anthropic` ask for a Ticket, `floats` and `base64` for a vector."""
    from offpeak import Prompt, Vector, Workload, parquet, parquet_table

    vector = kind in ("floats", "base64")
    model = "anthropic:claude-haiku-4-5" if kind == "anthropic" else "openai:gpt-5-mini"
    return Workload(
        name="bench",
        rows=parquet(rows, key="ticket_id"),
        prompt=Prompt(system="" if vector else SYSTEM, user="Channel: {{ row.channel }}\n\n{{ row.text }}"),
        answer=Vector(DIMENSIONS) if vector else Ticket,
        model="openai:text-embedding-3-small" if vector else model,
        endpoint="chat" if kind == "chat" else "",
        into=parquet_table("{store}/table"),
        canary=0,
        max_failed=0.05,
    )


def user_text(channel: str, text: str) -> str:
    """What the workload's user template makes of a row."""
    return f"Channel: {channel}\n\n{text}"

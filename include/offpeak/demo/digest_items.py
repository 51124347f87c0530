"""Four weeks of made-up tickets with teams and days, for the nightly digest, and the day after them.

The last night has an outage in one team, so that its tickets fill many windows, and one chat that is longer than a
window by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from offpeak.demo import phrases

FIRST_NIGHT = datetime(2026, 11, 24, tzinfo=UTC)
"""A Tuesday: the first digest is about it. The day after is the second night's."""
ROWS = "tickets_by_day/2026-11-24.parquet"
NEXT_ROWS = "tickets_by_day/2026-11-25.parquet"
DAYS = 29
"""Of history, the first night's included."""
_DAY = timedelta(days=1)
_SEED = 20_261_124
_WEEKDAYS = (1.25, 1.1, 1.0, 1.0, 1.05, 0.45, 0.35)
_HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 12, 14, 13, 12, 11, 12, 13, 12, 11, 10, 8, 6, 5, 4, 3, 2)
_TEAMS = {
    "cards": (("card_lost", "card_payment"), 34),
    "cash": (("cash_withdrawal",), 14),
    "payments": (("transfer", "top_up"), 40),
    "exchange": (("exchange_rate",), 11),
    "refunds": (("refund",), 16),
    "service": (("other",), 12),
}
"""By team: its intents, and its tickets on an ordinary day."""
_CHANNELS, _WEIGHTS = ("app", "chat", "phone", "mail"), (50, 28, 14, 8)

OUTAGE = (
    "My transfer of {amount} to {name} has been pending since this morning.",
    "The app says that transfers are not available, and I have to pay my rent.",
    "I sent {amount} to {name} twice because the first transfer showed an error. Now both are gone.",
    "Transfers to other banks fail with the error 504 since about nine.",
    "My top-up of {amount} by card was charged, but the balance has not changed.",
    "Are transfers down? My transfer to {name} has been stuck for hours.",
    "A transfer of {amount} has left my account and {name} has not got it.",
)
_CHAT = (
    ("Customer", "I have been trying to get into my account since I moved to {place}."),
    ("Agent", "I am sorry to hear that. What do you see when you log in?"),
    ("Customer", "It asks for a code, and the code goes to my old number."),
    ("Agent", "We can change the number once we have seen a document. Do you have a passport at hand?"),
    ("Customer", "I uploaded it on {day} and again today. Both times it said that the picture is too dark."),
    ("Agent", "I see the two uploads. Please try once more near a window."),
    ("Customer", "I did. Now it says that I have used up my tries and should come to a branch in {place}."),
    ("Agent", "There is no branch there any more. I will reset the tries for you."),
    ("Customer", "The reset has not worked, it still says the same as before."),
    ("Agent", "I have passed this on to the team that looks after documents; they answer within two days."),
)


class Item(NamedTuple):
    ticket_id: str
    created_at: datetime
    team: str
    channel: str
    text: str


def write(store: Path) -> None:
    """Lay four weeks of tickets into the store, the first night's among them."""
    _write(store, ROWS, _history())


def change(store: Path) -> None:
    """Add the next day's tickets: an ordinary Wednesday after the outage."""
    night = FIRST_NIGHT + _DAY
    _write(store, NEXT_ROWS, _of_day(Random(f"{_SEED}/next"), night, "N"))  # noqa: S311


def _history() -> Iterator[Item]:
    for back in range(DAYS - 1, -1, -1):
        day = FIRST_NIGHT - back * _DAY
        chance = Random(f"{_SEED}/{back}")  # noqa: S311  (made-up tickets, no secrets)
        yield from _of_day(chance, day, f"D{DAYS - back:02d}")
    yield from _outage(Random(f"{_SEED}/outage"))  # noqa: S311
    yield _long_chat(Random(f"{_SEED}/chat"))  # noqa: S311


def _of_day(chance: Random, day: datetime, prefix: str) -> Iterator[Item]:
    number = 0
    for team, (intents, ordinary) in _TEAMS.items():
        count = round(ordinary * _WEEKDAYS[day.weekday()] * chance.uniform(0.8, 1.2))
        for _ in range(count):
            number += 1
            text = " ".join(
                filter(None, (chance.choice(phrases.INTENTS[chance.choice(intents)]), _tone(chance)))
            )
            yield Item(
                f"{prefix}-{number:04d}",
                _at(chance, day),
                team,
                _channel(chance),
                phrases.filled(chance, text),
            )


def _outage(chance: Random) -> Iterator[Item]:
    """Transfers stand still from nine to two: eight hundred tickets more in one team."""
    for number in range(1, 801):
        at = FIRST_NIGHT + timedelta(hours=9, minutes=chance.triangular(0, 300, 60))
        text = f"{chance.choice(OUTAGE)} {_tone(chance)}".strip()
        yield Item(f"P-{number:04d}", at, "payments", _channel(chance), phrases.filled(chance, text))


def _long_chat(chance: Random) -> Item:
    turns = [f"{who}: {phrases.filled(chance, said)}" for _ in range(22) for who, said in _CHAT]
    return Item("C-0001", FIRST_NIGHT + timedelta(hours=15), "service", "chat", "\n".join(turns))


def _tone(chance: Random) -> str:
    return chance.choice(phrases.URGENCY[chance.choice(("high", "normal", "normal", "low"))])


def _at(chance: Random, day: datetime) -> datetime:
    hour = chance.choices(range(24), _HOURS)[0]
    return day + timedelta(hours=hour, seconds=chance.randrange(3_600))


def _channel(chance: Random) -> str:
    return chance.choices(_CHANNELS, _WEIGHTS)[0]


def _write(store: Path, name: str, items: Iterator[Item]) -> None:
    """Into one file that appears whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from offpeak.store import Store

    table = pa.Table.from_pylist([item._asdict() for item in items])
    with Store(str(store)).writing(name) as path:
        pq.write_table(table, path, compression="zstd")

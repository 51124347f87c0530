"""Signatures: two troubles are alike when their sentences are, whatever ids, numbers and runs they name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_PREFIX = re.compile(r"^(?:(?:Shard|Run|Workload|Batch)\b.*?: )+", re.IGNORECASE)
_WORD_WITH_DIGIT = re.compile(r"\S*\d\S*")
LENGTH = 90
"""So many characters tell two sentences apart; what follows is often the provider's request id and advice."""


def signature(said: str, *names: str) -> str:
    """The sentence without what differs from one shard, batch or run to the next. `names` are taken out too."""
    text = said.partition("\n")[0]
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", text)
    text = _PREFIX.sub("", text)
    text = _WORD_WITH_DIGIT.sub("#", text)
    return " ".join(text.lower().split())[:LENGTH].rstrip(" .:;,")


class Alike(NamedTuple):
    """What has one signature."""

    signature: str
    example: str
    """The newest sentence of it, as it was said."""
    runs: tuple[str, ...]
    workloads: tuple[str, ...]
    shards: int
    """Different shards, held up or with a failed batch."""
    held: int
    """Shards of these that wait to be tried again."""


class Said(NamedTuple):
    """One trouble, as far as it matters here."""

    kind: str
    workload: str
    run_id: str
    number: int
    said: str


def alike(troubles: Iterable[Said]) -> list[Alike]:
    """The troubles by signature, the most frequent first. The newest is expected first."""
    groups: dict[str, list[Said]] = {}
    for one in troubles:
        groups.setdefault(signature(one.said, one.run_id, one.workload), []).append(one)
    found = []
    for sign, members in groups.items():
        shards = {(one.run_id, one.number) for one in members if one.kind != "run"}
        found.append(
            Alike(
                signature=sign,
                example=members[0].said,
                runs=tuple(sorted({one.run_id for one in members})),
                workloads=tuple(sorted({one.workload for one in members})),
                shards=len(shards),
                held=len({(one.run_id, one.number) for one in members if one.kind == "shard"}),
            )
        )
    return sorted(found, key=lambda group: (-group.shards, -len(group.runs), group.signature))

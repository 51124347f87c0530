"""Shards to ask in realtime, in a run that the real library planned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offpeak import Workload
from offpeak.blocks import lines_of
from offpeak.ledger import Shard
from offpeak.providers.provider import Client, Reply
from offpeak.quota import RealtimeLimits
from offpeak.realtime import answer
from offpeak.requests import read_custom_id
from offpeak.run import connect
from offpeak.site import Site
from tests.run.making import Place

PATHS = {"openai": "/v1/responses", "anthropic": "/v1/messages"}


@dataclass(kw_only=True)
class Bench:
    """One run with its shards, and who works on it."""

    place: Place
    workload: Workload
    run_id: str

    def shards(self, site: Site | None = None) -> list[Shard]:
        return (site or self.place.site()).ledger.shards(self.run_id)

    @property
    def path(self) -> str:
        return PATHS[self.place.provider]

    def answer(self, site: Site | None = None, *, number: int = 1, **options: Any) -> list[Reply]:
        """The replies of one shard, asked by a new worker."""
        at = site or self.place.site()
        with self.client(at) as client:
            return list(answer(self.workload, at, client, self.shards(at)[number - 1], **options))

    @contextmanager
    def client(self, site: Site) -> Iterator[Client]:
        made = connect(self.workload, site)
        try:
            yield made
        finally:
            made.close()

    def ids(self, number: int = 1) -> list[str]:
        """The custom_ids of the shard's requests."""
        provider = self.workload.provider
        path = self.place.store / self.shards()[number - 1].file
        return [provider.custom_id(json.loads(line)) for line in lines_of(path)]

    def segments(self) -> list[Path]:
        return sorted(self.place.store.glob("runs/**/realtime/*/*.jsonl"))

    def asked(self) -> int:
        """Calls that the emulator saw on the realtime path."""
        return self.place.emulator.control.count("POST", self.path)


def bench(place: Place, rows: int, *, shard_requests: int = 10_000, **changes: Any) -> Bench:
    place.rows(rows)
    workload = place.workload(shard_requests=shard_requests, canary=0, **changes)
    return Bench(place=place, workload=workload, run_id=place.begin(workload, place.site()).run_id)


def limited(place: Place, limits: RealtimeLimits) -> None:
    """State the account's limits, in the way that an environment without connections does."""
    stated = {name: getattr(limits, name) for name in RealtimeLimits.__dataclass_fields__}
    place.env[f"OFFPEAK_QUOTA_{place.provider.upper()}"] = json.dumps({"realtime": stated})


def whole(replies: list[Reply], ids: list[str], tag: str) -> bool:
    """Whether there is exactly one reply to each request."""
    of_the_shard = all(read_custom_id(reply.custom_id, tag) for reply in replies)
    return of_the_shard and sorted(reply.custom_id for reply in replies) == sorted(ids)

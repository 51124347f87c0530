"""The trigger that waits for a batch, in the triggerer, with async clients only."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from offpeak.errors import OffpeakError, ProviderBusy, ProviderError
from offpeak.patience import patience
from offpeak.polling import Pace

if TYPE_CHECKING:
    from offpeak.providers.provider import Client

FIRST_LOOK = timedelta(seconds=12)
"""A trigger that fires sooner can meet its own task before Airflow has noted the deferral, and fail it."""
SURELY_PAST = timedelta(milliseconds=50)
"""A sleep may end a little early by the wall clock, and a decision made before its time is only put off."""
PATIENCE = 20
"""Looks that may fail in a row before the task is woken to say so."""

# the client library tells of every call: at a thousand batches that is most of a triggerer's log, and of its work
for _name in ("httpx", "httpx2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(slots=True)
class _Shared:
    client: Client
    users: int = 0


_shared: dict[tuple[int, str, str | None], _Shared] = {}
"""One client per event loop and connection, shared by all triggers of this triggerer that look at a batch."""


@asynccontextmanager
async def _client(provider: str, connection: str | None) -> AsyncIterator[Client]:
    """The client of this loop and connection. The last one to leave closes it."""
    key = (id(asyncio.get_running_loop()), provider, connection)
    if key not in _shared:
        made = await sync_to_async(_connect)(provider, connection)
        _shared.setdefault(key, _Shared(made))
    shared = _shared[key]
    shared.users += 1
    try:
        yield shared.client
    finally:
        shared.users -= 1
        if not shared.users:
            _shared.pop(key, None)
            await shared.client.aclose()


def _connect(provider: str, connection: str | None) -> Client:
    from offpeak.on_airflow.site import AirflowConnections
    from offpeak.providers import provider as provider_named

    adapter = provider_named(provider)
    return adapter.connect(adapter.account(connection, AirflowConnections(), os.environ))


class ShardTrigger(BaseTrigger):
    """Fires when the batch has ended, or at `until` when there is no batch to look at; in any case at `wake`,
    when something is to be decided though the batch has not ended.

    Holds nothing that a restart of the triggerer could lose. Stopping it never cancels the batch.
    """

    def __init__(
        self,
        *,
        provider: str,
        connection: str | None,
        batch_id: str | None,
        until: str,
        since: str,
        wake: str | None = None,
    ) -> None:
        super().__init__()
        self.provider = provider
        self.connection = connection
        self.batch_id = batch_id
        self.until = until
        self.since = since
        self.wake = wake

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "offpeak.on_airflow.trigger.ShardTrigger",
            {
                "provider": self.provider,
                "connection": self.connection,
                "batch_id": self.batch_id,
                "until": self.until,
                "since": self.since,
                "wake": self.wake,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        pause = max(datetime.fromisoformat(self.until) - datetime.now(UTC), FIRST_LOOK)
        await asyncio.sleep(max(self._not_beyond_wake(pause), FIRST_LOOK).total_seconds())
        if self._is_time():
            yield TriggerEvent({"woken": self.wake})
        elif self.batch_id is not None:
            yield TriggerEvent(await self._ended(self.batch_id))
        else:
            yield TriggerEvent({"waited_until": self.until})

    def _not_beyond_wake(self, pause: timedelta) -> timedelta:
        if self.wake is None:
            return pause
        left = datetime.fromisoformat(self.wake) - datetime.now(UTC)
        return min(pause, max(left, timedelta(0)) + SURELY_PAST)

    def _is_time(self) -> bool:
        return self.wake is not None and datetime.fromisoformat(self.wake) <= datetime.now(UTC)

    async def on_kill(self) -> None:
        """A person failed or cleared the waiting task: the batch is cancelled at the provider.

        What it had finished is billed and is kept: by the cleared task itself, by the workload's next run,
        or by `offpeak sweep`.
        """
        if self.batch_id is None:
            return
        try:
            async with _client(self.provider, self.connection) as client:
                batch = await sync_to_async(client.cancel)(self.batch_id)
        except ProviderError as error:
            self.log.warning("Batch %s could not be cancelled and goes on, billed: %s", self.batch_id, error)
        else:
            self.log.info("Batch %s is %s", batch.id, batch.provider_status)

    async def _ended(self, batch_id: str) -> dict[str, Any]:
        try:
            async with _client(self.provider, self.connection) as client:
                return await self._watched(client, batch_id)
        except OffpeakError as error:  # there is no such account, or it cannot be connected to
            return {"batch": batch_id, "problem": str(error)}

    async def _watched(self, client: Client, batch_id: str) -> dict[str, Any]:
        """Look until the batch has ended, looking has failed for too long, or it is time to wake the task."""
        pace, since, failures = Pace(), datetime.fromisoformat(self.since), 0
        while True:
            if self._is_time():
                return {"batch": batch_id, "woken": self.wake}
            wait = pace.next_look(datetime.now(UTC) - since, draw=random.random())  # noqa: S311
            try:
                batch = await client.alook(batch_id)
            except ProviderBusy as busy:
                failures += 1
                wait = max(wait, patience(busy.retry_after_seconds, otherwise=wait, left=None).pause)
                problem = str(busy)
            except ProviderError as error:
                failures, problem = PATIENCE, str(error)
            else:
                failures, problem = 0, ""
                if batch.status.ended:
                    return {"batch": batch_id, "status": str(batch.status)}
            if failures >= PATIENCE:
                return {"batch": batch_id, "problem": problem}
            await asyncio.sleep(self._not_beyond_wake(wait).total_seconds())

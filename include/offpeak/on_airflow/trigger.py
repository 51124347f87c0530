"""The trigger that waits for a batch, in the triggerer, with async clients only."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from offpeak.errors import ProviderBusy, ProviderError
from offpeak.patience import patience
from offpeak.polling import Pace

if TYPE_CHECKING:
    from offpeak.providers.provider import Client

FIRST_LOOK = timedelta(seconds=12)
"""A trigger that fires sooner can meet its own task before Airflow has noted the deferral, and fail it."""
PATIENCE = 20
"""Looks that may fail in a row before the task is woken to say so."""

_clients: dict[tuple[int, str, str | None], Client] = {}
"""One client per event loop and connection, shared by all triggers of this triggerer."""


async def _client(provider: str, connection: str | None) -> Client:
    key = (id(asyncio.get_running_loop()), provider, connection)
    if key not in _clients:
        made = await sync_to_async(_connect)(provider, connection)
        _clients.setdefault(key, made)
    return _clients[key]


def _connect(provider: str, connection: str | None) -> Client:
    from offpeak.on_airflow.site import AirflowConnections
    from offpeak.providers import provider as provider_named

    adapter = provider_named(provider)
    return adapter.connect(adapter.account(connection, AirflowConnections(), os.environ))


class ShardTrigger(BaseTrigger):
    """Fires when the batch has ended, or at `until` when there is no batch to look at.

    Holds nothing that a restart of the triggerer could lose. Stopping it never cancels the batch.
    """

    def __init__(
        self, *, provider: str, connection: str | None, batch_id: str | None, until: str, since: str
    ) -> None:
        super().__init__()
        self.provider = provider
        self.connection = connection
        self.batch_id = batch_id
        self.until = until
        self.since = since

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "offpeak.on_airflow.trigger.ShardTrigger",
            {
                "provider": self.provider,
                "connection": self.connection,
                "batch_id": self.batch_id,
                "until": self.until,
                "since": self.since,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        pause = datetime.fromisoformat(self.until) - datetime.now(UTC)
        await asyncio.sleep(max(pause, FIRST_LOOK).total_seconds())
        if self.batch_id is None:
            yield TriggerEvent({"waited_until": self.until})
            return
        yield TriggerEvent(await self._ended(self.batch_id))

    async def on_kill(self) -> None:
        """A person failed or cleared the waiting task: the batch is cancelled at the provider.

        What it had finished is billed and is kept: by the cleared task itself, by the workload's next run,
        or by `offpeak sweep`.
        """
        if self.batch_id is None:
            return
        try:
            client = await _client(self.provider, self.connection)
            batch = await sync_to_async(client.cancel)(self.batch_id)
        except ProviderError as error:
            self.log.warning("Batch %s could not be cancelled and goes on, billed: %s", self.batch_id, error)
        else:
            self.log.info("Batch %s is %s", batch.id, batch.provider_status)

    async def _ended(self, batch_id: str) -> dict[str, Any]:
        """Look until the batch has ended, or until looking has failed for too long."""
        pace, since, failures = Pace(), datetime.fromisoformat(self.since), 0
        while True:
            wait = pace.next_look(datetime.now(UTC) - since, draw=random.random())  # noqa: S311
            try:
                client = await _client(self.provider, self.connection)
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
            await asyncio.sleep(wait.total_seconds())

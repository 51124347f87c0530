"""A thousand batches in flight, watched by one event loop as in a triggerer, at a 30 second interval.

The time is real. After the first looks a window of a minute is measured; then all batches end at once, and
what counts is when the last of them is noticed. Variants: `offpeak`, `common-ai`, `sdk`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from offpeak.emulator.control import Control
from tests.bench.provider import Provider, provider
from tests.bench.work import Outcome, Place

INTERVAL_SECONDS = 30.0
FIRST_SECONDS, SPREAD_SECONDS, WINDOW_SECONDS = 12.0, 30.0, 60.0
PATIENCE_SECONDS = 120.0
SHARE_OF_AGE = 0.08
"""Offpeak's pace by default: a batch of this age and share is looked at every INTERVAL_SECONDS."""
LIFE_SECONDS = 80_000.0
EXTRA: dict[str, float] = {}

Watch = Callable[[str], Awaitable[object]]
"""Returns when the batch of this id has ended."""


def prepare(place: Place) -> None:
    import openai  # noqa: F401
    from airflow.triggers.base import BaseTrigger  # noqa: F401


def run(place: Place) -> None:
    count = int((place.data / "count").read_text())
    with provider("--running-seconds", str(LIFE_SECONDS)) as at:
        os.environ.update(at.env())
        host = json.dumps({"conn_type": "pydanticai", "host": f"{at.url}/v1", "password": "bench"})
        os.environ["AIRFLOW_CONN_BENCH"] = host
        ids = _begin(at, count, place.out / "one.jsonl")
        asyncio.run(_watched(WATCHES[place.variant](at), ids, Control(at.url)))


def _begin(at: Provider, count: int, file: Path) -> list[str]:
    """So many batches of one request each, running."""
    import openai

    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}]}
    line = {"custom_id": "a-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file.write_text(json.dumps(line) + "\n")
    with openai.OpenAI(api_key="bench", base_url=f"{at.url}/v1") as client:
        uploaded = client.files.create(file=file, purpose="batch").id
        made = [
            client.batches.create(
                input_file_id=uploaded, endpoint="/v1/chat/completions", completion_window="24h"
            )
            for _ in range(count)
        ]
    return [batch.id for batch in made]


async def _watched(watch: Watch, ids: list[str], control: Control) -> None:
    lags: list[float] = []
    heart = asyncio.create_task(_beat(lags))
    watchers = [asyncio.create_task(_noticed(watch, one)) for one in ids]
    await asyncio.sleep(FIRST_SECONDS + SPREAD_SECONDS + 3)
    lags.clear()
    seen, cpu, began = _looks(control), _cpu_seconds(), time.monotonic()
    await asyncio.sleep(WINDOW_SECONDS)
    took, cpu = time.monotonic() - began, _cpu_seconds() - cpu
    EXTRA["cpu_share"] = cpu / took
    EXTRA["gets_per_second"] = (_looks(control) - seen) / took
    EXTRA["loop_lag_seconds"] = max(lags)
    ended = time.monotonic()
    await asyncio.to_thread(control.advance, LIFE_SECONDS + 100)
    moments = await asyncio.wait_for(asyncio.gather(*watchers), PATIENCE_SECONDS)
    EXTRA["noticed_last_seconds"] = max(moments) - ended
    heart.cancel()


async def _noticed(watch: Watch, batch_id: str) -> float:
    await watch(batch_id)
    return time.monotonic()


async def _beat(lags: list[float]) -> None:
    """How late the loop comes to what is due: everything that blocks it shows here."""
    while True:
        due = time.monotonic() + 0.1
        await asyncio.sleep(0.1)
        lags.append(time.monotonic() - due)


def _looks(control: Control) -> int:
    """Calls of any kind that asked for the state of batches."""
    return sum(seen.count for seen in control.requests("GET") if seen.path.startswith("/v1/batches"))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _offpeak(at: Provider) -> Watch:
    from offpeak.on_airflow.trigger import ShardTrigger

    began = datetime.now(UTC)
    middle = FIRST_SECONDS + SPREAD_SECONDS + 3 + WINDOW_SECONDS / 2
    since = began - timedelta(seconds=INTERVAL_SECONDS / SHARE_OF_AGE - middle)

    async def watch(batch_id: str) -> object:
        until = began + timedelta(seconds=FIRST_SECONDS + random.uniform(0, SPREAD_SECONDS))
        trigger = ShardTrigger(
            provider="openai",
            connection=None,
            batch_id=batch_id,
            until=until.isoformat(),
            since=since.isoformat(),
        )
        return await anext(aiter(trigger.run()))

    return watch


def _common_ai(at: Provider) -> Watch:
    from airflow.providers.common.ai.triggers.llm_batch import LLMBatchTrigger

    async def watch(batch_id: str) -> object:
        await asyncio.sleep(random.uniform(0, SPREAD_SECONDS))
        trigger = LLMBatchTrigger(
            llm_conn_id="bench",
            adapter="openai",
            batch_id=batch_id,
            poll_interval=int(INTERVAL_SECONDS),
            end_time=time.time() + 86_400,
            cancel_on_kill=False,
            cancel_on_timeout=False,
        )
        return await anext(aiter(trigger.run()))

    return watch


def _sdk(at: Provider) -> Watch:
    import openai

    client = openai.AsyncOpenAI(api_key="bench", base_url=f"{at.url}/v1")

    async def watch(batch_id: str) -> object:
        await asyncio.sleep(random.uniform(0, SPREAD_SECONDS))
        while (await client.batches.retrieve(batch_id)).status not in ("completed", "expired", "failed"):
            await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.8, 1.2))
        return batch_id

    return watch


WATCHES: dict[str, Callable[[Provider], Watch]] = {"offpeak": _offpeak, "common-ai": _common_ai, "sdk": _sdk}


def outcome(place: Place) -> Outcome | None:
    return None

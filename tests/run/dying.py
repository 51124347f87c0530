"""A worker of its own process that is killed at a stated call: `python -m tests.run.dying JSON`."""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from offpeak.ledger import Ledger
from offpeak.ledger.realtime import RealtimeShards
from offpeak.providers.anthropic_client import AnthropicClient
from offpeak.providers.openai_client import OpenAIClient
from tests.run.virtual import Evening

OWNERS: dict[str, tuple[type, ...]] = {
    "ledger": (Ledger,),
    "realtime": (RealtimeShards,),
    "client": (OpenAIClient, AnthropicClient),
}


def die_at(verb: str, *, side: str, call: int) -> None:
    """Kill this process before or after the so manieth call of `noun.verb`."""
    noun, _, name = verb.partition(".")
    calls: Counter[str] = Counter()

    def met(at: str) -> None:
        calls[at] += 1
        if at == side and calls[at] == call:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner in OWNERS[noun]:
        real = getattr(owner, name)

        def plain(*args: Any, _real: Any = real, **kwargs: Any) -> Any:
            met("before")
            made = _real(*args, **kwargs)
            met("after")
            return made

        async def awaited(*args: Any, _real: Any = real, **kwargs: Any) -> Any:
            met("before")
            made = await _real(*args, **kwargs)
            met("after")
            return made

        setattr(owner, name, awaited if inspect.iscoroutinefunction(real) else plain)


def main() -> None:
    job = json.loads(sys.argv[1])
    at = SimpleNamespace(
        openai_url=job["url"] + "/v1", anthropic_url=job["url"], control=_control(job["url"])
    )
    place = Evening(folder=Path(job["folder"]), emulator=at, provider=job["provider"])  # type: ignore[arg-type]
    place.passed = timedelta(seconds=job["passed"])
    work = place.workload(**job["workload"] | {"due": timedelta(seconds=job["workload"]["due"])})
    if job["verb"]:
        die_at(job["verb"], side=job["side"], call=job["call"])
    place.drive(work, job["run_id"])


def _control(url: str) -> Any:
    from offpeak.emulator import Control

    return Control(url)


if __name__ == "__main__":
    main()

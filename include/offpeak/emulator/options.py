"""What an emulator can be told at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from offpeak.emulator.latency import FixedLatency, Latency

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of one emulator. All durations are virtual seconds unless they say real."""

    host: str = "127.0.0.1"
    port: int = 0  # 0 takes a free port
    speed: float = 1.0  # virtual seconds per real second
    frozen: bool = False  # start with a clock that only moves when advanced
    start: float | None = None  # unix seconds on the virtual clock; None is the present
    seed: int = 0  # of the order of results, of shares of lines, and of latency
    latency: Latency = field(default_factory=FixedLatency)
    shuffle: bool = True  # results come in an order that is not the input's
    window_seconds: float = DAY_SECONDS  # a batch expires this long after its creation
    openai_max_requests: int = 50_000  # per batch
    openai_max_bytes: int = 200 * 1024 * 1024  # per input file
    anthropic_max_requests: int = 100_000  # per batch
    anthropic_max_bytes: int = 256 * 1024 * 1024  # per create body
    creates_per_hour: int = 2_000  # per provider
    enqueued_tokens: Mapping[str, int] = field(default_factory=dict)  # limit by model; none if absent
    unknown_models: frozenset[str] = frozenset()  # answered as model_not_found
    file_life_seconds: float = 30 * DAY_SECONDS  # OpenAI files, unless the upload says otherwise
    results_life_seconds: float = 29 * DAY_SECONDS  # Anthropic results, from creation
    settle_seconds: float = 10.0  # real: how long an answer may wait for work the clock calls done

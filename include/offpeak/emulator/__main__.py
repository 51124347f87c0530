"""`python -m offpeak.emulator`: serves until it is told to stop, and prints its address when it answers."""

from __future__ import annotations

import argparse
import sys

from offpeak.emulator.latency import FixedLatency
from offpeak.emulator.options import Options
from offpeak.emulator.profiles import PROFILES, latency_named
from offpeak.emulator.server import serve


def main(arguments: list[str] | None = None) -> None:
    defaults, latency = Options(), FixedLatency()
    parser = argparse.ArgumentParser(prog="python -m offpeak.emulator", description=__doc__)
    parser.add_argument("--host", default=defaults.host)
    parser.add_argument("--port", type=int, default=defaults.port, help="0 takes a free port")
    parser.add_argument("--speed", type=float, default=defaults.speed, help="virtual seconds per second")
    parser.add_argument("--frozen", action="store_true", help="the clock moves only when advanced")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument(
        "--running-seconds",
        type=float,
        default=latency.running_seconds,
        help="virtual seconds a batch spends in progress, with the latency `fixed`",
    )
    parser.add_argument("--latency", choices=list(PROFILES), default="fixed", help="how long batches take")
    given = parser.parse_args(arguments)
    fixed = FixedLatency(running_seconds=given.running_seconds)
    options = Options(
        host=given.host,
        port=given.port,
        speed=given.speed,
        frozen=given.frozen,
        seed=given.seed,
        latency=fixed if given.latency == "fixed" else latency_named(given.latency),
    )
    serve(options, ready=_announce)


def _announce(url: str) -> None:
    sys.stdout.write(url + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""A worker in a process of its own, which a test can kill: asks one shard in realtime."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from offpeak.realtime import ask_rest
from offpeak.run import connect
from tests.chaos.child import Elsewhere
from tests.run.making import Place


def main() -> None:
    told = json.loads(sys.argv[1])
    place = Place(
        folder=Path(told["folder"]),
        emulator=Elsewhere(told["url"]),
        provider=told["provider"],
        ledger_url=told["ledger_url"],
        env=told["env"],
    )
    site, workload = place.site(), place.workload(shard_requests=told["shard_requests"], canary=0)
    client = connect(workload, site)
    shard = site.ledger.shards(told["run_id"])[told["number"] - 1]
    print(os.getpid(), flush=True)  # noqa: T201
    ask_rest(workload, site, client, shard)
    client.close()


if __name__ == "__main__":
    main()

"""On time at the least cost: which shards wait for their batch, and which are answered in realtime. Pure.

Before its last safe moment a shard waits. That moment is `due` less the time to publish, a margin, the time
a cancelled batch needs to drain, and the time to answer in realtime what is left of this shard and of all that
must follow it: the account answers one after the other, so the slowest goes first, and the others keep their
batches for as long as the ones before them take.
"""

from __future__ import annotations

from offpeak.decision.decide import decide
from offpeak.decision.facts import Action, Decision, Facts, ShardFacts, realtime_takes
from offpeak.decision.routes import first_routes, usual_margin
from offpeak.forecast.finish import Finish

__all__ = [
    "Action",
    "Decision",
    "Facts",
    "Finish",
    "ShardFacts",
    "decide",
    "first_routes",
    "realtime_takes",
    "usual_margin",
]

"""Strays: second batches of a shard. What one billed is read from its own results."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from offpeak.blocks import lines_in
from offpeak.ledger.records import Spend
from offpeak.prices import cost
from offpeak.providers.provider import Usage
from offpeak.states import Route

if TYPE_CHECKING:
    from offpeak.ledger.records import Shard
    from offpeak.providers.provider import Batch, Client
    from offpeak.site import Site
    from offpeak.workload import Workload


def billed(workload: Workload, site: Site, client: Client, shard: Shard, batch: Batch) -> Spend:
    """What an ended batch that no shard owns cost, by the usage in its results. Its answers are not kept:
    the shard has others."""
    usage, requests, model = Usage(), 0, ""
    spent: dict[Route, Decimal | None] = {Route.BATCH: Decimal(0), Route.REALTIME: Decimal(0)}
    for line in lines_in(client.blocks(batch)):
        reply = workload.provider.parse(line)
        usage, requests, model = usage + reply.usage, requests + 1, model or reply.model
        for route, so_far in spent.items():
            one = cost(workload.priced, reply.usage, route)
            spent[route] = None if so_far is None or one is None else so_far + one
    return Spend(
        workload=workload.name,
        run_id=shard.key.run_id,
        at=site.now(),
        route=Route.BATCH,
        provider=shard.provider,
        account=shard.account,
        model=model or shard.model,
        requests=requests,
        usage=usage.as_dict(),
        cost_usd=spent[Route.BATCH],
        realtime_usd=spent[Route.REALTIME],
    )

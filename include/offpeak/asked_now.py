"""One request asked in realtime by hand, outside of any run, and its spend."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from offpeak.ledger.records import Spend
from offpeak.prices import cost
from offpeak.site import account_of
from offpeak.states import Route

if TYPE_CHECKING:
    from offpeak.providers.provider import Client, Reply
    from offpeak.site import Site
    from offpeak.workload import Workload


class AskedNow(NamedTuple):
    reply: Reply
    cost_usd: Decimal | None
    """None if the price is not known."""


def ask_now(
    workload: Workload, site: Site, client: Client, custom_id: str, body: Mapping[str, Any]
) -> AskedNow:
    """Ask, and note in the ledger what it cost. Raises the client's ProviderErrors."""
    reply = client.ask(workload.ask, custom_id, body)
    price = workload.priced
    spent = cost(price, reply.usage, Route.REALTIME) if price else None
    site.ledger.spend(
        Spend(
            workload=workload.name,
            run_id="",
            at=site.now(),
            route=Route.REALTIME,
            provider=workload.provider_name,
            account=account_of(workload, site).id,
            model=reply.model or workload.model_name,
            requests=1,
            usage=reply.usage.as_dict(),
            cost_usd=spent,
            realtime_usd=spent,
        )
    )
    return AskedNow(reply, spent)

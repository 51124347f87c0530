"""The dead-man ping: a call that says "published". Who misses it knows that the scheduler itself is down."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from offpeak.alerts.http import address_of, get
from offpeak.errors import DeliveryError

if TYPE_CHECKING:
    from offpeak.site import Site
    from offpeak.workload import Workload

log = logging.getLogger(__name__)


def ping(workload: Workload, site: Site) -> bool:
    """Call the workload's `ping` address (GET). Whether it was taken; a failed ping is logged and fails nothing.

    Called after every publish. A service such as a heartbeat monitor tells people when it does not come.
    """
    if not workload.ping:
        return False
    try:
        get(address_of(workload.ping, site.connections))
    except DeliveryError as error:
        log.warning("The ping of %s was not taken: %s", workload.name, error)
        return False
    return True

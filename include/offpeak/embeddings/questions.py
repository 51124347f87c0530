"""Questions: embedded in realtime with the workload's own model, each once, and recorded as spent."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from offpeak.errors import ProviderError
from offpeak.requests import Fingerprints, custom_id
from offpeak.states import Outcome

if TYPE_CHECKING:
    import numpy as np

    from offpeak.providers.provider import Client
    from offpeak.site import Site
    from offpeak.workload import Workload

TAG = "0" * 10
"""Stands where a request of a batch has its shard's tag."""


class Asked(NamedTuple):
    """Questions with their vectors."""

    texts: list[str]
    vectors: np.ndarray[Any, Any]
    """One row for each text."""
    asked: int
    """How many of them were asked now; the others were known."""
    cost_usd: Decimal | None
    """Of those asked now; None where the price is not known."""


def asked(workload: Workload, site: Site, texts: Sequence[str]) -> Asked:
    """Each text's vector; those that were asked before come from the store and cost nothing.

    Raises what the provider's realtime call raises, and ProviderError for a text it does not embed. What was
    answered until then is kept and not asked again.
    """
    import numpy as np

    prints = Fingerprints(workload.provider_name, workload.ask)
    names = {text: f"embeddings/{workload.name}/questions/{prints.of('', text)}.f32" for text in texts}
    new = [text for text, name in names.items() if not site.store.exists(name)]
    spent = _ask_all(workload, site, {text: names[text] for text in new}) if new else Decimal(0)
    found = [np.frombuffer(site.store.read_bytes(name), dtype="<f4") for name in names.values()]
    return Asked(list(names), np.stack(found) if found else np.empty((0, 0)), len(new), spent)


def embedded(workload: Workload, site: Site, question: str) -> list[float]:
    """One question's vector, asked now and kept nowhere. Raises what `asked` raises."""
    import numpy as np

    client = _connected(workload, site)
    try:
        vector, _ = _ask(workload, site, client, question)
    finally:
        client.close()
    return [float(number) for number in np.frombuffer(vector, dtype="<f4")]


def _ask_all(workload: Workload, site: Site, names: dict[str, str]) -> Decimal | None:
    client = _connected(workload, site)
    total: Decimal | None = Decimal(0)
    try:
        for text, name in names.items():
            vector, spent = _ask(workload, site, client, text)
            site.store.write_bytes(name, vector)
            total = None if total is None or spent is None else total + spent
    finally:
        client.close()
    return total


def _connected(workload: Workload, site: Site) -> Client:
    from offpeak.run import connect

    return connect(workload, site)


def _ask(workload: Workload, site: Site, client: Client, text: str) -> tuple[bytes, Decimal | None]:
    from offpeak.asked_now import ask_now

    fingerprint = Fingerprints(workload.provider_name, workload.ask).of("", text)
    body = workload.provider.body(workload.ask, system="", user=text)
    reply, spent = ask_now(workload, site, client, custom_id(TAG, fingerprint), body)
    wanted = 4 * (workload.form.form.dimensions or 0)
    if reply.outcome is not Outcome.ANSWERED or reply.vector is None or len(reply.vector) != wanted:
        raise ProviderError(
            f"{workload.model} gave no vector of {wanted // 4} numbers for {text[:80]!r}: {reply.outcome} "
            f"{reply.message}".rstrip()
            + ". Nothing was published; try again, or leave the question out."
        )
    return reply.vector, spent

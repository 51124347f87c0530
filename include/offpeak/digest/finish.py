"""The last step: the night's page for people, its Markdown for mail, and the latest of both under a stable name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offpeak.digest.edition import Edition, Making, gather_edition
from offpeak.digest.letter import letter
from offpeak.digest.page import page
from offpeak.digest.wording import summary
from offpeak.pipeline import Finished

if TYPE_CHECKING:
    from offpeak.pipeline import Finishing
    from offpeak.store import Store

LATEST = "latest"


def finish(making: Making, finishing: Finishing) -> Finished:
    """Write the pages, in place of those that are there, and say where they lie."""
    store, name = finishing.site.store, making.recipe.name
    edition = gather_edition(making, finishing)
    key = finishing.interval.key
    nights = sorted({*_nights(store, name), key})
    earlier = nights[nights.index(key) - 1] if nights.index(key) else ""
    written = {
        "html": page(edition, earlier=f"{earlier}.html" if earlier else ""),
        "md": letter(edition),
    }
    addresses = {kind: _write(store, f"digests/{name}/{key}.{kind}", text) for kind, text in written.items()}
    if key == nights[-1]:  # an earlier night that is filled in later is not the latest
        for kind, text in written.items():
            _write(store, f"digests/{name}/{LATEST}.{kind}", text)
    return Finished(
        said=(summary(edition), f"Digest: {addresses['html']}", f"For mail: {addresses['md']}"),
        facts=_facts(edition, addresses),
    )


def _nights(store: Store, name: str) -> list[str]:
    """The interval keys that have a page."""
    names = (found.rsplit("/", 1)[1].removesuffix(".html") for found in store.names(f"digests/{name}/*.html"))
    return [night for night in names if night != LATEST]


def _write(store: Store, name: str, text: str) -> str:
    return store.write_bytes(name, text.encode("utf-8", "backslashreplace"))


def _facts(edition: Edition, addresses: dict[str, str]) -> dict[str, Any]:
    left_out, cost = edition.left_out, edition.cost
    return {
        "digest": addresses,
        "night": edition.night.label,
        "groups": len(edition.answered),
        "unanswered": [part.name for part in edition.unanswered],
        "items": edition.whole.items,
        "statements": edition.statements,
        "cited": sum(len(part.quotes) for part in edition.parts),
        "unread": sum(part.unread for part in edition.parts),
        "left_out": {
            "unreadable": left_out.unreadable,
            "undated": left_out.undated,
            "repeated": left_out.repeated,
            "textless": left_out.textless,
        },
        "requests": cost.requests,
        "cost_usd": None if cost.actual_usd is None else format(cost.actual_usd, "f"),
    }

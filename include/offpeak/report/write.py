"""Writing the report: the page and the JSON into the run's folder, whole, again at each call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from offpeak.report.facts import Facts, gather
from offpeak.report.page import page

if TYPE_CHECKING:
    from offpeak.site import Site

PAGE = "report.html"
FACTS = "report.json"


def write_report(site: Site, run_id: str) -> tuple[str, str]:
    """The addresses of the page and of the JSON, written for a run in any state and noted in its facts.

    SpecError when the ledger has no such run; OSError when the store cannot be written to.
    """
    facts = gather(site, run_id)
    folder = facts.identity.folder
    html = site.store.write_bytes(f"{folder}/{PAGE}", page(facts).encode("utf-8", "backslashreplace"))
    data = site.store.write_bytes(f"{folder}/{FACTS}", as_json(facts))
    site.ledger.note_run(run_id, {"report": {"html": html, "json": data}}, now=site.now())
    return html, data


def as_json(facts: Facts) -> bytes:
    """The facts as UTF-8 JSON. Half a surrogate pair, which UTF-8 cannot hold, becomes its JSON escape."""
    text = json.dumps(facts.as_dict(), ensure_ascii=False, allow_nan=False, indent=1)
    return text.encode("utf-8", "backslashreplace")

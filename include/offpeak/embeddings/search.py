"""Search: a question, embedded with the model of a version, and the chunks nearest to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offpeak.embeddings.corpus import HEADING, KEY, TEXT
from offpeak.embeddings.questions import embedded
from offpeak.embeddings.spec import Embeddings
from offpeak.embeddings.versions import OpenVectors, Version, found
from offpeak.errors import SpecError

if TYPE_CHECKING:
    from offpeak.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearby:
    """One chunk near a question."""

    score: float
    """Cosine similarity, -1 to 1."""
    document: str
    heading: str
    text: str
    chunk: str


def search(
    spec: Embeddings, site: Site, question: str, *, top: int = 5, version: str | None = None
) -> tuple[Version, list[Nearby]]:
    """The chunks of what readers see (or of a version) that are nearest to `question`, and that version.

    The question costs the realtime price of a few tokens, which is recorded. SpecError when the version was made
    with another model or length than the DAG file names; TableError when nothing is published; what the
    provider's realtime call raises.
    """
    if not question.strip():
        raise SpecError("The question is empty. Write what you are looking for; nothing was asked.")
    table = spec.into.of_version(spec.version).open(site.store, site.connections)
    try:
        seen = found(table.versions(), version, spec.into.describe())
        _same_model(spec, site, seen)
        vector = embedded(spec.workload, site, question)
        columns = (spec.corpus.key, HEADING, TEXT, KEY)
        hits = table.nearest(vector, top=top, columns=columns, version=seen.name)
    finally:
        table.close()
    return seen, [
        Nearby(
            score=hit.score,
            document=str(hit.row[spec.corpus.key]),
            heading=hit.row[HEADING] or "",
            text=hit.row[TEXT] or "",
            chunk=hit.row[KEY],
        )
        for hit in hits
    ]


def open_table(spec: Embeddings, site: Site) -> OpenVectors:
    return spec.into.of_version(spec.version).open(site.store, site.connections)


def _same_model(spec: Embeddings, site: Site, seen: Version) -> None:
    """A question's vector means something only beside vectors of its own model and length."""
    if seen.name == spec.version:
        return
    made = site.ledger.run(seen.run_id).spec
    kind = spec.workload.form.columns[0].type
    if made.get("model") == spec.model and list(made.get("answer", {}).values()) == [kind]:
        return
    raise SpecError(
        f"The version {seen.name} was made with {made.get('model')}, vectors {list(made.get('answer', {}).values())}; "
        f"the DAG file names {spec.model} with {spec.dimensions} dimensions, and their vectors cannot be compared. "
        "Nothing was asked. Search the version of the DAG file (--version), or put the DAG file back."
    )

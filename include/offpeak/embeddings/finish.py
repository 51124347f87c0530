"""The last step: what was embedded, what was kept, and which version readers see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offpeak.embeddings.versions import seen_by_readers
from offpeak.pipeline import Finished

if TYPE_CHECKING:
    from offpeak.embeddings.spec import Embeddings
    from offpeak.pipeline import Finishing


def finish(spec: Embeddings, given: Finishing) -> Finished:
    """Reads only, so it is safe to call again."""
    facts = given.runs[spec.name].facts
    table = spec.into.of_version(spec.version).open(given.site.store, given.site.connections)
    try:
        versions = table.versions()
    finally:
        table.close()
    seen = seen_by_readers(versions)
    chunks, embedded = int(facts.get("table_rows", 0)), int(facts.get("requests", 0))
    kept, folded = int(facts.get("carried", 0)), int(facts.get("folded", 0))
    said = [
        f"{spec.name}: {chunks:,} chunks, {embedded:,} embedded, {kept:,} kept, {folded:,} like another one; "
        f"version {spec.version}."
    ]
    if seen is not None and seen.name != spec.version:
        said.append(
            f"Readers stay with version {seen.name}, which a person chose. "
            "`offpeak vectors DAG_FILE --follow` moves them to the latest."
        )
    return Finished(
        said=tuple(said),
        facts={
            "chunks": chunks,
            "embedded": embedded,
            "kept": kept,
            "folded": folded,
            "version": spec.version,
            "readers": seen.name if seen else None,
            "versions": [one.name for one in versions],
        },
    )

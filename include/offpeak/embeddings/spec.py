"""What a user writes: a corpus, a model and a table of vectors; and the workload that is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from offpeak.alerts.channels import Channel
from offpeak.answer import Vector
from offpeak.embeddings.checks import VectorChecks
from offpeak.embeddings.chunking import Chunking
from offpeak.embeddings.corpus import HEADING, OWN, PASSAGE, POSITION, TEXT, ChunkRows
from offpeak.embeddings.finish import finish
from offpeak.embeddings.measures import VectorMeasures
from offpeak.embeddings.versions import VECTOR, VectorTable, version_of
from offpeak.errors import SpecError
from offpeak.pipeline import Pipeline
from offpeak.prices import Price
from offpeak.prompt import Prompt
from offpeak.rows.source import RowSource
from offpeak.tables.table import PROVENANCE
from offpeak.workload import Workload

_HANDED = (
    *("model", "due", "route", "budget_usd", "monthly_budget_usd", "approve_above_usd", "params", "rounds"),
    *("canary", "max_failed", "shard_requests", "connection", "price", "alerts", "ping"),
)
"""Arguments that are the workload's own, by the same name (see docs/workload.md)."""


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """A corpus kept embedded: only new text is asked, a publish is one step, another way of embedding is a new
    version. SpecError lists what is wrong, each with its cure."""

    name: str
    """Lower-case letters, digits and `_`; names the runs and the DAG."""
    corpus: RowSource
    """Documents: parquet(...), csv(...), jsonl(...) or sql(...), whose key names a document."""
    text: str
    """The column with the document."""
    model: str
    """`provider:model`, e.g. `openai:text-embedding-3-small`."""
    dimensions: int
    into: VectorTable
    """parquet_vectors(...), duckdb_vectors(...) or postgres_vectors(...)."""
    title: str = ""
    """The column with the document's title; none if empty."""
    keep: Sequence[str] = ()
    """Further columns of the document to publish with each of its chunks."""
    chunking: Chunking = field(default_factory=Chunking)
    golden: Mapping[str, str] = field(default_factory=dict)
    """Questions, each with the key of the document that answers it: they must be found (see VectorChecks)."""
    checks: VectorChecks = field(default_factory=VectorChecks)
    due: timedelta | str | None = None
    route: Literal["batch", "auto", "realtime"] = "batch"
    budget_usd: Decimal | None = None
    monthly_budget_usd: Decimal | None = None
    approve_above_usd: Decimal | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 3
    canary: int | None = None
    max_failed: float = 0.01
    """The share of chunks that may end without a vector before the run is refused, 0 to 1."""
    shard_requests: int | None = None
    connection: str | None = None
    price: Price | None = None
    alerts: Sequence[Channel] = ()
    ping: str = ""

    def __post_init__(self) -> None:
        if mistakes := _mistakes(self):
            listed = "".join(f"\n  - {mistake}" for mistake in mistakes)
            count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
            raise SpecError(f"Embeddings {self.name!r}: {count}.{listed}")
        _ = self.workload

    @cached_property
    def version(self) -> str:
        """Names the way in which these vectors are made: model, dimensions, parameters and chunking."""
        params = sorted((str(name), repr(value)) for name, value in self.params.items())
        return version_of([self.model, self.dimensions, params, self.chunking.describe()])

    @cached_property
    def workload(self) -> Workload:
        """The one stage: each chunk is a row, its answer a vector."""
        return Workload(
            name=self.name,
            rows=ChunkRows(
                corpus=self.corpus,
                text=self.text,
                title=self.title,
                kept=tuple(self.keep),
                chunking=self.chunking,
            ),
            prompt=Prompt(user=f"{{{{ row.{PASSAGE} }}}}"),
            answer=Vector(self.dimensions),
            into=self.into.of_version(self.version),
            keep=[self.corpus.key, *self.keep, HEADING, TEXT, POSITION],
            measures=VectorMeasures(document=self.corpus.key, golden=dict(self.golden), checks=self.checks),
            **{name: getattr(self, name) for name in _HANDED},
        )

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(name=self.name, layers=((self.workload,),), finish=lambda given: finish(self, given))


def _mistakes(spec: Embeddings) -> list[str]:
    """What is wrong before a workload can be made; the rest is the workload's to say."""
    found = []
    if not (hasattr(spec.corpus, "batches") and hasattr(spec.corpus, "key")):
        found.append(f"corpus={spec.corpus!r}: give parquet(...), csv(...), jsonl(...) or sql(...).")
    if not hasattr(spec.into, "of_version"):
        found.append(
            f"into={spec.into!r}: give parquet_vectors(...), duckdb_vectors(...) or postgres_vectors(...), "
            "which keep versions beside each other."
        )
    if not isinstance(spec.text, str) or not spec.text:
        found.append(f"text={spec.text!r}: name the column that holds the document.")
    for name, kind, cure in _KINDS:
        if not isinstance(getattr(spec, name), kind):
            found.append(f"{name}={getattr(spec, name)!r}: give {cure}.")
    return found or [*_dimensions(spec), *_columns(spec), *_golden(spec)]


_KINDS: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    ("title", str, "the name of a column, or leave it out"),
    ("keep", (list, tuple), 'a list of column names, e.g. ["url"]'),
    ("chunking", Chunking, 'Chunking(format="markdown", max_tokens=400)'),
    ("golden", Mapping, 'a dict such as {"how do I ...?": "docs/page.md"}'),
    ("checks", VectorChecks, "VectorChecks(...); expectations on columns go to a workload of your own"),
    ("params", Mapping, "a dict of plain JSON values"),
)


def _dimensions(spec: Embeddings) -> list[str]:
    try:
        Vector(spec.dimensions)
    except (SpecError, TypeError):
        return [f"dimensions={spec.dimensions!r}: give the length of the vectors, 1 to 16,384."]
    return []


def _columns(spec: Embeddings) -> list[str]:
    taken = {*OWN, VECTOR, *(name for name, _ in PROVENANCE)}
    own = [("the key of the corpus", spec.corpus.key), *(("keep", name) for name in spec.keep)]
    found = [
        f"The column {name!r} ({which}) has the name of a column that every chunk has; rename it in the source."
        for which, name in own
        if name in taken
    ]
    if spec.corpus.key in spec.keep:
        found.append(f"keep names {spec.corpus.key!r}, which is published anyway; leave it out.")
    return found


def _golden(spec: Embeddings) -> list[str]:
    return [
        f"golden[{question!r}]={key!r}: give a question and the key of the document that answers it."
        for question, key in spec.golden.items()
        if not (isinstance(question, str) and question.strip() and isinstance(key, (str, int)))
    ]

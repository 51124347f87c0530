"""The workload: what a DAG file declares. Every mistake that can be seen without reading rows is found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from offpeak.accept import Accept
from offpeak.alerts.channels import Channel
from offpeak.answer import Answer, Vector
from offpeak.errors import SpecError
from offpeak.mistakes import mistakes_of
from offpeak.prices import Price, price_of
from offpeak.prompt import Prompt, Template
from offpeak.providers import provider
from offpeak.providers.provider import Ask, Provider
from offpeak.rounds import Again, policy_of
from offpeak.rows.source import RowSource
from offpeak.states import Outcome
from offpeak.tables.table import PROVENANCE, Table

if TYPE_CHECKING:
    from offpeak.checks.measures import Measures


@dataclass(frozen=True, kw_only=True)
class Workload:
    """LLM work over rows that nobody waits for. SpecError lists every mistake, each with its cure."""

    name: str
    """Lower-case letters, digits and `_`; names the runs, the DAG and the folders in the store."""
    rows: RowSource
    prompt: Prompt
    answer: type[BaseModel] | type[str] | Vector
    model: str
    """`provider:model`, e.g. `openai:gpt-5-mini`."""
    into: Table
    checks: Sequence[Any] = ()
    """Great Expectations expectations, from `offpeak.gxe` or Great Expectations itself."""
    measures: Measures | None = None
    """Derives what no column holds (a norm, an overlap) for checks of its own (see checks/measures.py)."""
    accept: Accept | None = None
    """Says of (row, answer) why it is not accepted, or ""; such an answer is asked again with the reason."""
    due: timedelta | str | None = None
    """Published within this time of the interval's end, or by a time such as "07:00 Europe/Berlin"."""
    route: Literal["batch", "auto", "realtime"] = "batch"
    """`auto` begins with batches, and answers in realtime what they would not have in time, within the budget."""
    publish_partial_at: float | None = None
    """The share of requests, above 0 to 1, with which the table may be published at the last moment before due."""
    budget_usd: Decimal | None = None
    """Nothing is sent when the estimate of a run is above this."""
    monthly_budget_usd: Decimal | None = None
    """Nothing is sent when the estimate and what the calendar month (UTC) has cost so far are above this."""
    approve_above_usd: Decimal | None = None
    """A run with an estimate above this waits for a person's yes before anything is sent; 0 for every run."""
    requires: str = ""
    """An evaluation suite that model and prompt must have passed before a changed workload asks anything."""
    keep: Sequence[str] = ()
    """Columns of the row to publish beside the answer."""
    endpoint: str = ""
    """The provider's endpoint (`responses`, `chat`); empty for the provider's default."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters of the request body, e.g. {"reasoning": {"effort": "low"}}."""
    max_output_tokens: int = 4096
    rounds: int = 3
    """How often a row is asked at most, 1 to 5."""
    canary: int | None = None
    """Requests of a small first batch that goes ahead when model, prompt or answer are new; 0 for never, None
    for 50 when a run asks 10,000 or more."""
    policy: Mapping[str, str] = field(default_factory=dict)
    """What is done with an outcome in the next round, where it is not the default (see rounds.py): `no`,
    `same`, `more_room` or `with_note`, e.g. {"refused": "same"}."""
    max_failed: float = 0.01
    """The share of rows that may end without an answer before the run is refused, 0 to 1."""
    shard_requests: int | None = None
    """Requests per batch at most; the provider's limit if None."""
    readers: int = 1
    """Tasks on Airflow that read and render the rows, each a share, before one plans; 1 to 100. One plans alone."""
    connection: str | None = None
    """Connection id of the provider account; the provider's default one if None."""
    price: Price | None = None
    """Your own price, where the model is not in the price list or you pay another one."""
    alerts: Sequence[Channel] = ()
    """Who is told when a run is at risk, late, failed, refused ...: slack(...), mail(...), pagerduty(...)
    and webhook(...) from `offpeak.alerts`."""
    ping: str = ""
    """A URL, or the id of a connection that holds one, that is called after every publish (dead man's switch)."""

    def __post_init__(self) -> None:
        if mistakes := mistakes_of(self):
            listed = "".join(f"\n  - {mistake}" for mistake in mistakes)
            count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
            raise SpecError(f"Workload {self.name!r}: {count}.{listed}")

    @cached_property
    def form(self) -> Answer:
        """The answer type, read."""
        return Answer.of(self.answer)

    @property
    def provider_name(self) -> str:
        return self.model.partition(":")[0]

    @property
    def model_name(self) -> str:
        return self.model.partition(":")[2]

    @cached_property
    def provider(self) -> Provider:
        return provider(self.provider_name)

    @cached_property
    def ask(self) -> Ask:
        """What all requests have in common."""
        return Ask(
            model=self.model_name,
            form=self.form.form,
            endpoint=self.endpoint,
            max_output_tokens=self.max_output_tokens,
            params=dict(self.params),
        )

    @cached_property
    def templates(self) -> tuple[Template, Template]:
        """The system and the user template."""
        return Template(self.prompt.system, "system"), Template(self.prompt.user, "user")

    @property
    def priced(self) -> Price | None:
        return self.price or price_of(self.provider_name, self.model_name)

    @cached_property
    def rules(self) -> Mapping[Outcome, Again]:
        """What is asked again, and how, by outcome."""
        return policy_of(self.policy)

    @property
    def shard_limit(self) -> int:
        limit = self.provider.limits.requests
        return min(self.shard_requests or limit, limit)

    def columns_needed(self) -> tuple[str, ...] | None:
        """The row columns that a run reads, the key first; None when the prompt uses the whole row."""
        wanted = [template.columns for template in self.templates]
        if any(columns is None for columns in wanted):
            return None
        named = sorted(set().union(*(columns for columns in wanted if columns)))
        return tuple(dict.fromkeys([self.rows.key, *self.keep, *named]))

    def table_columns(self) -> list[str]:
        """The published table's columns, in order."""
        provenance = [name for name, _ in PROVENANCE]
        return [self.rows.key, *self.keep, *(column.name for column in self.form.columns), *provenance]

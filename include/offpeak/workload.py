"""The workload: what a DAG file declares. Every mistake that can be seen without reading rows is found here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Literal

import orjson
from pydantic import BaseModel

from offpeak.alerts.channels import Channel, is_url
from offpeak.alerts.channels import problems as channel_problems
from offpeak.answer import Answer, Vector
from offpeak.due import check_due, check_route
from offpeak.errors import SpecError
from offpeak.prices import Price, price_of
from offpeak.prompt import Prompt, Template
from offpeak.providers import provider
from offpeak.providers.provider import Ask, Provider
from offpeak.rounds import Again, policy_of
from offpeak.rows.source import RowSource
from offpeak.states import Outcome
from offpeak.tables.table import PROVENANCE, Table

RESERVED = (
    *("_ordinal", "_system", "_user", "_problem", "_origin", "_number"),
    *("_round", "_code", "_reason", "_raw", "_decision"),
)
"""Column names of the run's own files."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


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
        wrong = _kinds(self)
        mistakes = list(wrong.values())
        for check, needs in _CHECKS.items():
            if wrong.keys().isdisjoint(needs):  # a mistake is not told twice by what follows from it
                mistakes += _try(check, self)
        if mistakes:
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


def _try(check: Callable[[Workload], list[str]], workload: Workload) -> list[str]:
    try:
        return check(workload)
    except SpecError as error:
        return [str(error)]


def _names(workload: Workload) -> list[str]:
    if not isinstance(workload.name, str) or not _NAME.fullmatch(workload.name):
        return [
            f"name={workload.name!r}: use lower-case letters, digits and '_', a letter first, at most 63."
        ]
    return []


def _kinds(workload: Workload) -> dict[str, str]:
    """By argument: what is not of the kind it must be, so that nothing else can be said of it."""
    wrong = {
        name: f"{name}={getattr(workload, name)!r}: {cure}."
        for name, (fits, cure) in _KINDS.items()
        if not fits(getattr(workload, name))
    }
    for name, read in (("answer", lambda: workload.form), ("model", lambda: workload.provider)):
        if name not in wrong:
            try:
                read()
            except SpecError as error:
                wrong[name] = str(error)
    return wrong


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_names(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) and name for name in value)


def _is_model(value: object) -> bool:
    provider_name, _, model_name = value.partition(":") if isinstance(value, str) else ("", "", "")
    return bool(provider_name.strip() and model_name.strip())


def _is_json(value: object) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return isinstance(value, Mapping)


_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "rows": (
        lambda rows: hasattr(rows, "batches") and hasattr(rows, "key"),
        "give parquet(...), csv(...), jsonl(...) or sql(...)",
    ),
    "prompt": (lambda prompt: isinstance(prompt, Prompt), "give Prompt(system=..., user=...)"),
    "model": (_is_model, "write it as provider:model, e.g. openai:gpt-5-mini"),
    "into": (
        lambda into: hasattr(into, "open") and hasattr(into, "problems"),
        "give parquet_table(...), duckdb_table(...) or postgres_table(...)",
    ),
    "checks": (lambda checks: isinstance(checks, (list, tuple)), "give a list of expectations"),
    "keep": (_is_names, 'give a list of column names, e.g. ["text"]'),
    "endpoint": (lambda endpoint: isinstance(endpoint, str), "give a text such as 'chat', or leave it out"),
    "params": (_is_json, "give a dict of plain JSON values"),
    "max_output_tokens": (_is_whole, "give a whole number"),
    "rounds": (_is_whole, "give 1 to 5"),
    "canary": (
        lambda size: size is None or _is_whole(size),
        "give 0 for none, or the number of its requests",
    ),
    "policy": (
        lambda policy: isinstance(policy, Mapping) and all(isinstance(how, str) for how in policy.values()),
        'give a dict such as {"refused": "same"}',
    ),
    "max_failed": (_is_number, "give a share between 0 and 1"),
    "shard_requests": (lambda most: most is None or _is_whole(most), "give a whole number, or leave it out"),
    "price": (lambda price: price is None or isinstance(price, Price), "give Price(realtime=..., batch=...)"),
    "ping": (
        lambda ping: isinstance(ping, str) and ("://" not in ping or is_url(ping)),
        "give an http(s) address with a host, or the id of a connection",
    ),
}
"""By argument: whether it is of its kind, and the cure when it is not."""


def _model(workload: Workload) -> list[str]:
    return workload.provider.problems(workload.ask)


def _answer_and_prompt(workload: Workload) -> list[str]:
    found = []
    if workload.form.form.kind == "vector" and workload.prompt.system:
        found.append("An embedding has no system prompt; put everything into Prompt(user=...).")
    if all(template.constant for template in workload.templates):
        found.append(
            "The prompt says the same for every row, so all rows would be one request. "
            "Write {{ row.column }} where a row's own text goes."
        )
    return found


def _numbers(workload: Workload) -> list[str]:
    found = []
    if not 1 <= workload.rounds <= 5:
        found.append(f"rounds={workload.rounds}: give 1 to 5.")
    if not 0 <= workload.max_failed <= 1:
        found.append(f"max_failed={workload.max_failed}: give a share between 0 and 1.")
    if workload.max_output_tokens < 1:
        found.append(f"max_output_tokens={workload.max_output_tokens}: give at least 1.")
    if workload.canary is not None and workload.canary < 0:
        found.append(f"canary={workload.canary}: give 0 for none, or the number of its requests.")
    if workload.shard_requests is not None and workload.shard_requests < 1:
        found.append(f"shard_requests={workload.shard_requests}: give at least 1.")
    return found


def _money(workload: Workload) -> list[str]:
    amounts = {name: getattr(workload, name) for name in _AMOUNTS}
    given = {name: amount for name, amount in amounts.items() if amount is not None}
    if mistakes := [told for name, amount in given.items() for told in _amount(name, amount)]:
        return mistakes
    name = next(iter(given), None)
    if name is None:
        return []
    if workload.priced is None:
        return [
            f"{name} is set, but the price of {workload.model} is not known, so it could not be kept. "
            f"Give price=Price(...) or leave {_AMOUNTS[name]} out."
        ]
    if workload.priced.batch is None and workload.route != "realtime":
        return [
            f"{name} is set, but what a batch of {workload.model} costs is not known, so it could not be "
            f"kept. Give price=Price(realtime=..., batch=...) or leave {_AMOUNTS[name]} out."
        ]
    return []


_AMOUNTS = {"budget_usd": "the budget", "monthly_budget_usd": "the budget", "approve_above_usd": "it"}


def _amount(name: str, given: object) -> list[str]:
    try:
        amount = Decimal(given)  # type: ignore[arg-type]
    except (InvalidOperation, TypeError, ValueError):
        return [f"{name}={given!r} is not an amount; give Decimal('5')."]
    if not amount.is_finite() or amount < 0:
        return [f"{name}={amount}: give an amount of at least 0."]
    return []


def _policy(workload: Workload) -> list[str]:
    policy_of(workload.policy)
    return []


def _due(workload: Workload) -> list[str]:
    if workload.due is not None:
        check_due(workload.due)
    return check_route(workload.route, workload.due, workload.publish_partial_at)


def _alerts(workload: Workload) -> list[str]:
    return channel_problems(workload.alerts)


def _columns(workload: Workload) -> list[str]:
    seen: dict[str, str] = {}
    found = []
    groups = [
        ("the key", [workload.rows.key]),
        ("keep", list(workload.keep)),
        ("the answer", [column.name for column in workload.form.columns]),
        ("provenance", [name for name, _ in PROVENANCE]),
        ("Offpeak's own files", list(RESERVED)),
    ]
    for group, names in groups:
        for name in names:
            if group == "keep" and name == workload.rows.key:
                found.append(f"keep={name!r}: the key is published anyway; leave it out of keep.")
            elif name.lower() in seen:
                found.append(
                    f"The column {name!r} would be there twice, from {seen[name.lower()]} and from {group}; "
                    "rename one (an answer field may be renamed in its model)."
                )
            seen[name.lower()] = group
    return found


def _table(workload: Workload) -> list[str]:
    types = {column.name: column.type for column in workload.form.columns}
    return workload.into.problems({**types, **dict(PROVENANCE)})


def _suite(workload: Workload) -> list[str]:
    if not workload.checks:
        return []
    from offpeak.checks import listed, problems

    columns = dict.fromkeys(workload.table_columns(), "")  # the rows' own types are not known yet
    columns |= {column.name: column.type for column in workload.form.columns} | dict(PROVENANCE)
    return problems([check.expectation for check in listed(workload.checks)], columns)


_CHECKS: Mapping[Callable[[Workload], list[str]], tuple[str, ...]] = {
    _names: (),
    _model: ("model", "answer", "params", "endpoint", "max_output_tokens"),
    _answer_and_prompt: ("answer", "prompt"),
    _numbers: ("rounds", "max_failed", "max_output_tokens", "shard_requests", "canary"),
    _policy: ("policy",),
    _money: ("model", "price"),
    _due: (),
    _alerts: (),
    _columns: ("rows", "keep", "answer"),
    _table: ("into", "answer"),
    _suite: ("checks", "rows", "keep", "answer"),
}
"""Each check, and the arguments it can only judge when they are of their kind."""

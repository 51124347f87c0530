"""Mistakes of a workload that can be seen without reading rows, each with its cure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.alerts.channels import is_url
from offpeak.alerts.channels import problems as channel_problems
from offpeak.due import check_due, check_route
from offpeak.errors import SpecError
from offpeak.prices import Price
from offpeak.prompt import Prompt
from offpeak.rounds import policy_of
from offpeak.tables.table import PROVENANCE

if TYPE_CHECKING:
    from offpeak.workload import Workload

RESERVED = (
    *("_ordinal", "_system", "_user", "_problem", "_origin", "_number"),
    *("_round", "_code", "_reason", "_raw", "_decision"),
)
"""Column names of the run's own files."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def mistakes_of(workload: Workload) -> list[str]:
    """Everything that is wrong with the workload's arguments."""
    wrong = _kinds(workload)
    mistakes = list(wrong.values())
    for check, needs in _CHECKS.items():
        if wrong.keys().isdisjoint(needs):  # a mistake is not told twice by what follows from it
            mistakes += _try(check, workload)
    return mistakes


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
    "accept": (lambda accept: accept is None or callable(accept), "give a function of (row, answer)"),
    "keep": (_is_names, 'give a list of column names, e.g. ["text"]'),
    "requires": (
        lambda suite: isinstance(suite, str) and (not suite or _NAME.fullmatch(suite) is not None),
        "give the name of an evaluation suite, e.g. 'eval_suite'",
    ),
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
    "readers": (_is_whole, "give 1 to 100"),
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
    if not 1 <= workload.readers <= 100:
        found.append(f"readers={workload.readers}: give 1 to 100.")
    return found


def _readers(workload: Workload) -> list[str]:
    if workload.readers > 1 and not getattr(workload.rows, "has_shares", False):
        return [
            f"readers={workload.readers}: {workload.rows.describe()} can only be read as a whole. Leave readers out, "
            "or read files (parquet, csv, jsonl, documents), which have shares."
        ]
    return []


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
    _numbers: ("rounds", "max_failed", "max_output_tokens", "shard_requests", "canary", "readers"),
    _readers: ("rows", "readers"),
    _policy: ("policy",),
    _money: ("model", "price"),
    _due: (),
    _alerts: (),
    _columns: ("rows", "keep", "answer"),
    _table: ("into", "answer"),
    _suite: ("checks", "rows", "keep", "answer"),
}
"""Each check, and the arguments it can only judge when they are of their kind."""

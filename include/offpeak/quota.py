"""Quota: how much of one provider account may be at the provider at once. Data of the account, never a secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offpeak.connections import Connection
from offpeak.errors import SpecError

SETTING = "offpeak"
"""The key of a connection's extra that holds the quota."""
ANY_MODEL = "*"
EXAMPLE = (
    '{"enqueued_tokens": {"gpt-5-mini": 5000000, "*": 90000}, "batches": 100, "requests": 200000, '
    '"realtime": {"requests_per_minute": 500, "tokens_per_minute": 200000, "concurrency": 16}}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeLimits:
    """How fast one account may be asked on the realtime route, over all workloads and workers."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Input and output together. None: not held back before the provider says so."""
    concurrency: int = 16
    """Requests under way at once. At two seconds an answer, 16 are some 500 answers a minute, which the
    smallest paying accounts may have; it is also how many may be paid for again after a crash."""

    @property
    def stated(self) -> bool:
        """Whether the account has a rate that several workers must share."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Limits of one account, over all workloads. What is not limited here is not held back."""

    enqueued_tokens: Mapping[str, int] = field(default_factory=dict)
    """Input tokens at the provider at once, by model; `*` is the limit of each model that is not named."""
    batches: int | None = None
    """Batches at the provider at once, over all models."""
    requests: int | None = None
    """Requests in the provider's processing queue at once, over all models."""
    realtime: RealtimeLimits = field(default_factory=RealtimeLimits)

    def tokens_of(self, model: str) -> int | None:
        """The limit of enqueued tokens for `model`; None when there is none."""
        return self.enqueued_tokens.get(model, self.enqueued_tokens.get(ANY_MODEL))

    @property
    def over_all_models(self) -> bool:
        """Whether shards of different models can be in each other's way."""
        return self.batches is not None or self.requests is not None


def quota_of_connection(connection: Connection) -> Quota:
    """The quota in the connection's extra, under `offpeak`; without it no limit. SpecError for a mistake."""
    given = connection.extra.get(SETTING)
    return (
        Quota() if given is None else _read(given, f"{SETTING!r} in the extra of connection {connection.id}")
    )


def quota_of_environment(provider: str, env: Mapping[str, str]) -> Quota:
    """The quota in OFFPEAK_QUOTA_<PROVIDER>; without it no limit. SpecError for a mistake."""
    variable = f"OFFPEAK_QUOTA_{provider.upper()}"
    given = env.get(variable, "").strip()
    return _read(given, f"the environment variable {variable}") if given else Quota()


def _read(given: object, where: str) -> Quota:
    found = _object(given, where)
    if set(found) == {SETTING}:  # the extra as a whole, copied into the variable
        found = _object(found[SETTING], where)
    _all_known(found, tuple(Quota.__dataclass_fields__), where)
    by_model = found.get("enqueued_tokens")
    if by_model is not None and not isinstance(by_model, Mapping):
        raise _mistake(where, 'enqueued_tokens is not given by model; "*" stands for each other model')
    return Quota(
        enqueued_tokens={
            str(model): _limit(limit, f"enqueued_tokens of {model!r}", where)
            for model, limit in (by_model or {}).items()
        },
        batches=_one(found, "batches", where),
        requests=_one(found, "requests", where),
        realtime=_realtime(found.get("realtime"), where),
    )


def _realtime(given: object, where: str) -> RealtimeLimits:
    if given is None:
        return RealtimeLimits()
    if not isinstance(given, Mapping):
        raise _mistake(where, "realtime is not an object of limits")
    known = tuple(RealtimeLimits.__dataclass_fields__)
    _all_known(given, known, f"realtime in {where}")
    limits = {name: _limit(limit, name, where) for name, limit in given.items() if limit is not None}
    return RealtimeLimits(**limits)


def _all_known(found: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in found:
        if name not in known:
            raise _mistake(where, f"{name!r} is no limit that Offpeak knows; it knows {', '.join(known)}")


def _object(given: object, where: str) -> Mapping[str, Any]:
    try:
        found = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, Mapping):
        raise _mistake(where, "it is not a JSON object")
    return found


def _one(found: Mapping[str, Any], name: str, where: str) -> int | None:
    return None if found.get(name) is None else _limit(found[name], name, where)


def _limit(given: object, name: str, where: str) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise _mistake(where, f"{name} is {given!r}, not a whole number of at least 1")
    return given


def _mistake(where: str, what: str) -> SpecError:
    return SpecError(
        f"The quota in {where} cannot be used: {what}. Nothing was sent. Write it as {EXAMPLE}, or take it out "
        "to go without a limit."
    )

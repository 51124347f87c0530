"""Failures of a call, in our words: refused for good, busy, or an outcome that nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from offpeak.errors import OutcomeUnknown, ProviderBusy, ProviderError, ProviderRefused
from offpeak.providers.fields import excerpt, mapping, text

Effect = Literal["none", "changes", "starts", "asks"]
"""What a call may have done when its answer is lost: nothing, changed something, begun a batch that is
billed, or been answered (and billed) in realtime."""

_WAIT_OUT = frozenset({409, 425, 429})
_OVER_LIMIT = ("token_limit_exceeded", "enqueued token limit")
_FILE_NOT_VISIBLE = ("cannot find file", "does not have access to it")
_SLOW_DOWN = ("rate_limit", "429", "overloaded", "529", "slow_down", "too_many_requests")
_NO_MONEY = {
    "insufficient_quota": "the account has no credit left",
    "billing_hard_limit_reached": "the account's spending limit is reached",
    "billing_not_active": "the account's billing is not active",
    "billing_error": "there is a problem with the account's billing",
    "enforced_spend_limit_reached": "the account's monthly spend limit is reached",
}
_NO_MONEY_SAID = ("credit balance is too low", "reached your specified api usage limits")
"""A spend limit that the customer set comes as a plain 400 without a code of its own."""
_ABOUT_ONE_ROW = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What was being done when it failed, for the message."""

    what: str
    """e.g. `OpenAI: looking at batch_1`"""
    effect: Effect
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The provider's own error, as far as it could be read."""

    status: int
    code: str
    message: str
    retry_after_seconds: float | None

    @property
    def over_limit(self) -> bool:
        return over_limit(self.code, self.message)

    @property
    def about_one_row(self) -> bool:
        """Whether a realtime refusal speaks of the request itself, so that the next row may pass."""
        return (
            self.status in _ABOUT_ONE_ROW
            and not self.over_limit
            and not money_problem(self.code, self.message)
        )


def over_limit(code: str, message: str) -> bool:
    """Whether the provider's queue is full for this account: the same works once others are through."""
    said = f"{code} {message}".lower()
    return any(sign in said for sign in _OVER_LIMIT)


def asked_too_fast(code: str) -> bool:
    """Whether a busy provider speaks of the pace of all requests, and not of this one."""
    return any(sign in code.lower() for sign in _SLOW_DOWN)


def file_not_visible(message: str) -> bool:
    """Whether an uploaded file was not found: it can be there all the same, and be visible later."""
    return any(sign in message.lower() for sign in _FILE_NOT_VISIBLE)


def money_problem(code: str, message: str = "") -> str:
    """Why an error means that the account cannot pay, "" if it does not mean that."""
    said = message.lower()
    if any(sign in said for sign in _NO_MONEY_SAID):
        return "the account's credit or spend limit is used up"
    return _NO_MONEY.get(code, "")


def read_refusal(status: int, headers: Mapping[str, str], body: object, *, now: datetime) -> Refusal:
    """The provider's error out of an HTTP answer, whichever of the two envelopes it came in.

    A code is the most telling word there is: a spend limit's own code, then `code`, then `type`.
    """
    error = mapping(mapping(body).get("error"))
    detail = mapping(error.get("details"))
    code = text(detail.get("error_code")) or text(error.get("code")) or text(error.get("type"))
    message = text(error.get("message")) or (excerpt(body, 300) if body else "")
    if text(error.get("type")) in _NO_MONEY and code not in _NO_MONEY:
        code = text(error.get("type"))
    return Refusal(
        status=status, code=code, message=message, retry_after_seconds=retry_after(headers, now=now)
    )


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """The provider's wish in seconds, however long; None when it stated none that can be read."""
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    wish = headers.get("retry-after", "")
    try:
        seconds = float(wish)
        return max(0.0, seconds) if seconds < float("inf") else None
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(wish)
    except (ValueError, TypeError):
        return None
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
    return max(0.0, (until - now).total_seconds())


def http_failure(attempt: Attempt, refusal: Refusal) -> ProviderError:
    """The error for an answer of 300 and above."""
    error = f"{refusal.code or '(no code)'}: {refusal.message or '(no message)'}"
    said = f"{attempt.what}: HTTP {refusal.status} {error}"
    why = money_problem(refusal.code, refusal.message)
    if why:
        return ProviderRefused(
            f"{said}\n{why[0].upper()}{why[1:]} (connection {attempt.account}). Nothing was started. "
            "Add credit or raise the limit at the provider, then run again; this call is not billed.",
            code=refusal.code,
        )
    lost = refusal.status >= 500 or refusal.status == 408
    if lost and attempt.effect in ("changes", "starts"):
        return unknown_outcome(attempt, f"HTTP {refusal.status} {refusal.code} {refusal.message}".strip())
    if lost or refusal.status in _WAIT_OUT or refusal.over_limit:
        return ProviderBusy(
            f"{said}\nNothing was started by this call. {_when(refusal)}",
            retry_after_seconds=refusal.retry_after_seconds,
            code="conflict" if refusal.status == 409 else refusal.code or str(refusal.status),
        )
    if file_not_visible(refusal.message):
        return ProviderBusy(
            f"{said}\nThe uploaded file is not visible yet. Nothing was started. Create again in a minute.",
            retry_after_seconds=refusal.retry_after_seconds,
            code="file_not_visible",
        )
    return ProviderRefused(f"{said}\nNothing was started. {_cure(refusal, attempt)}", code=refusal.code)


def not_found(attempt: Attempt, refusal: Refusal) -> ProviderBusy:
    """A 404 on something that we were given an id for. It can be too young to be seen, or be gone: only
    the caller knows its age, so this is busy with code `not_found` and the caller decides when it is old."""
    return ProviderBusy(
        f"{attempt.what}: HTTP 404 {refusal.message or '(no message)'}\n"
        "For some minutes after its creation that is usual: look again. Later it means that it was deleted, "
        f"or that the connection {attempt.account} belongs to another account or workspace.",
        retry_after_seconds=refusal.retry_after_seconds,
        code="not_found",
    )


def unknown_outcome(attempt: Attempt, why: str) -> OutcomeUnknown:
    """No usable answer to a call that may have taken effect."""
    if attempt.effect == "starts":
        still = "It may have been started, and then it is billed. Look for it before it is sent again."
    elif attempt.effect == "asks":
        still = "It may have been answered, and then it is billed. Asking again may pay for it twice."
    else:
        still = "It may have taken effect. Look before trying again."
    return OutcomeUnknown(f"{attempt.what}: no usable answer ({why}).\n{still}")


def no_answer(attempt: Attempt, why: str, *, sent: bool) -> ProviderError:
    """The error for a time-out or a lost connection. `sent`: part of the request may have left."""
    if sent and attempt.effect != "none":
        return unknown_outcome(attempt, why)
    return ProviderBusy(
        f"{attempt.what}: no answer ({why}).\nNothing was started by this call. Try again.", code="no_answer"
    )


def unreadable_answer(attempt: Attempt, raw: bytes) -> ProviderError:
    """The error for a success that does not hold the JSON it should."""
    why = f"the answer is not the JSON it should be: {excerpt(raw, 200)!r}"
    if attempt.effect != "none":
        return unknown_outcome(attempt, why)
    return ProviderBusy(f"{attempt.what}: {why}.\nNothing was changed. Try again.", code="unreadable_answer")


def _when(refusal: Refusal) -> str:
    if refusal.retry_after_seconds is None:
        return "Try again later."
    return f"The provider asks to wait {refusal.retry_after_seconds:g} s."


def _cure(refusal: Refusal, attempt: Attempt) -> str:
    if refusal.status == 401:
        return f"Check the API key of the connection {attempt.account}."
    if refusal.status == 403:
        return f"The connection {attempt.account} has no right to do this: check its project and permissions."
    if refusal.status == 404:
        return f"Check the base URL of the connection {attempt.account} and the names in the workload."
    if refusal.status == 413:
        return "The file is too large for the provider: make the shards smaller."
    return "Correct what the provider names before trying again."


def any_detail(values: list[Any]) -> str:
    """The first few of a list of details, and how many more there are."""
    shown = [excerpt(value, 300) for value in values[:5]]
    return "; ".join(shown) + (f"; and {len(values) - 5} more" if len(values) > 5 else "")

"""Failures in our words: what a provider asked to wait, and the schema it would refuse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from offpeak.errors import OutcomeUnknown, ProviderBusy, ProviderError, ProviderRefused
from offpeak.providers.failures import Attempt, Effect, http_failure, no_answer, read_refusal, retry_after
from offpeak.providers.schema import schema_problems

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "130"}, 130),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 13:00:00 GMT"}, 3600),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_every_way_to_ask_for_a_wait_is_read_in_seconds(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, now=NOW) == seconds


def failure(status: int, effect: Effect, **error: Any) -> ProviderError:
    refusal = read_refusal(status, {}, {"error": error}, now=NOW)
    return http_failure(Attempt(what="X: doing it", effect=effect, account="bench"), refusal)


@pytest.mark.parametrize(
    ("status", "effect", "kind"),
    [
        (500, "none", ProviderBusy),
        (500, "asks", ProviderBusy),
        (500, "starts", OutcomeUnknown),
        (529, "changes", OutcomeUnknown),
        (408, "starts", OutcomeUnknown),
        (408, "none", ProviderBusy),
        (429, "starts", ProviderBusy),
        (409, "changes", ProviderBusy),
        (400, "starts", ProviderRefused),
        (401, "none", ProviderRefused),
        (413, "starts", ProviderRefused),
    ],
)
def test_a_status_means_no_not_now_or_nobody_knows(
    status: int, effect: Effect, kind: type[ProviderError]
) -> None:
    assert type(failure(status, effect, message="m", type="t")) is kind


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, {"type": "insufficient_quota", "code": None, "message": "m"}),
        (429, {"type": "requests", "code": "insufficient_quota", "message": "m"}),
        (
            429,
            {
                "type": "rate_limit_error",
                "message": "m",
                "details": {"error_code": "enforced_spend_limit_reached"},
            },
        ),
        (402, {"type": "billing_error", "message": "m"}),
        (
            400,
            {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."},
        ),
    ],
)
def test_want_of_money_is_refused_however_it_is_worded(status: int, error: dict[str, Any]) -> None:
    told = failure(status, "starts", **error)
    assert type(told) is ProviderRefused
    assert "Nothing was started. Add credit" in str(told)


def test_only_a_request_that_cannot_have_left_is_known_not_to_have_arrived() -> None:
    attempt = Attempt(what="X: creating", effect="starts", account="bench")
    assert type(no_answer(attempt, "ConnectError", sent=False)) is ProviderBusy
    assert type(no_answer(attempt, "ReadTimeout", sent=True)) is OutcomeUnknown


def obj(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("schema", "phrase"),
    [
        ({"type": "array", "items": {}}, "root is 'array'"),
        ({}, "root is 'not typed'"),
        (obj(a={"type": "object", "additionalProperties": {"type": "string"}}), "object at $.a is open"),
        ({**obj(a={"type": "string"}), "required": []}, "does not require a"),
        (obj(a={"type": "array", "items": {"type": "object", "properties": {}}}), "object at $.a[] is open"),
        (obj(a={"$ref": "#/$defs/Gone"}), "'#/$defs/Gone', which is not in it"),
        (obj(a={"not": {"type": "string"}}), "'not' at $.a"),
        ({**obj(a={"$ref": "#/$defs/B"}), "$defs": {"B": {"type": "object"}}}, "object at $.B is open"),
    ],
)
def test_what_strict_output_refuses_is_named_with_its_place(schema: dict[str, Any], phrase: str) -> None:
    told = schema_problems(schema)
    assert len(told) == 1
    assert phrase in told[0]


def test_a_nullable_nested_and_recursive_schema_is_fine() -> None:
    node = obj(
        next={"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        tags={"type": "array", "items": {"type": "string"}},
    )
    assert schema_problems({**obj(first={"$ref": "#/$defs/Node"}), "$defs": {"Node": node}}) == []
    assert schema_problems(obj(**{"not": {"type": "string"}, "properties": {"type": "string"}})) == []

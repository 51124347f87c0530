"""The table of faults: every way the emulator can misbehave, by name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Strikes(Enum):
    """What a fault hits: an HTTP call, a whole batch (decided at its creation), or a line's answer."""

    CALL = "call"
    BATCH = "batch"
    LINE = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """One row of the table. `paths` are the prefixes struck when the fault names none."""

    name: str
    strikes: Strikes
    what: str
    params: tuple[str, ...] = ()
    method: str = ""
    paths: tuple[str, ...] = ()


CREATES = ("/v1/batches", "/v1/messages/batches")
DOWNLOADS = ("/v1/files/", "/v1/messages/batches/")

_CALLS = (
    ("unreachable", "The connection is reset before anything is done.", (), "", ()),
    (
        "lost_response",
        "The call is carried out, then the connection is reset without an answer.",
        (),
        "POST",
        CREATES,
    ),
    (
        "rate_limited",
        "429 with a retry-after of `retry_after` seconds (default 1).",
        ("retry_after", "should_retry"),
        "",
        (),
    ),
    (
        "insufficient_quota",
        "429 that no waiting cures: quota or spend limit used up.",
        ("should_retry",),
        "",
        (),
    ),
    ("server_error", "500.", ("should_retry", "retry_after"), "", ()),
    ("unavailable", "503.", ("should_retry", "retry_after"), "", ()),
    ("overloaded", "529.", ("should_retry", "retry_after"), "", ()),
    (
        "http_error",
        "Any `status` (default 400), with `x-should-retry` if `should_retry` is given.",
        ("status", "message", "should_retry", "retry_after"),
        "",
        (),
    ),
    ("bad_gateway", "502 with an HTML body, as a proxy sends it.", ("should_retry",), "", ()),
    ("html_success", "The call is carried out, but its answer is a 200 with an HTML page.", (), "", ()),
    ("bad_key", "401 for the key `key`, or for every key.", ("key",), "", ()),
    ("not_found", "404 although the object exists.", (), "GET", CREATES),
    (
        "reset_download",
        "The connection is reset after `share` of a download (default 0.5).",
        ("share",),
        "GET",
        DOWNLOADS,
    ),
    (
        "truncated_results",
        "A download ends in mid-line after `share` of it, with a matching length.",
        ("share",),
        "GET",
        DOWNLOADS,
    ),
    (
        "slow_body",
        "The body comes in `pieces` (default 4), `pause_seconds` real seconds apart (default 0.05).",
        ("pieces", "pause_seconds"),
        "",
        (),
    ),
    (
        "unknown_status",
        "A batch is shown with the status `status` (default paused).",
        ("status",),
        "GET",
        CREATES,
    ),
    ("list_fails", "Listing batches answers 500.", (), "GET", CREATES),
)

_BATCHES = (
    (
        "not_found_early",
        "A new batch answers 404 for `for_seconds` virtual seconds (default 60).",
        ("for_seconds",),
    ),
    (
        "late_in_list",
        "A new batch is not listed for `for_seconds` virtual seconds (default 60).",
        ("for_seconds",),
    ),
    ("empty_error_file_id", "`error_file_id` is an empty string where it should be null.", ()),
    ("all_failed", "Every line fails; the batch completes without an output file.", ()),
    ("missing_line", "`lines` results (default 1) are in no file.", ("lines",)),
    ("duplicated_line", "`lines` results (default 1) come twice.", ("lines",)),
    ("foreign_line", "`lines` results (default 1) carry a custom_id that nobody sent.", ("lines",)),
    ("input_order", "Results come in the order of the input.", ()),
    ("token_limit_exceeded", "The batch fails: the enqueued-token limit is reached.", ()),
    ("file_not_accessible", "The batch fails: the input file cannot be found, though it exists.", ()),
    (
        "batch_failed",
        "The batch fails with the error `code` (default billing_hard_limit_reached).",
        ("code", "message"),
    ),
    (
        "expired_partial",
        "The batch expires at its window's end with `share` of its lines done (default 0.5).",
        ("share",),
    ),
    ("generic_expiry_error", "Expired lines carry a generic server error instead of batch_expired.", ()),
    (
        "stuck",
        "The batch stays in `stage` (validating or in_progress, the default) until it expires.",
        ("stage",),
    ),
)

_LINES = (
    ("line_refusal", "The model refuses.", ()),
    ("line_truncated", "The answer is cut at the token limit.", ()),
    ("line_invalid_json", "The answer is not JSON.", ()),
    ("line_schema_break", "The answer is JSON that breaks the schema.", ()),
    ("line_separators", "The answer holds U+2028, U+2029 and U+0085.", ()),
    ("line_error_500", "The line fails with a server error.", ()),
    ("line_error_400", "The line fails with an invalid request.", ()),
    ("unknown_result_type", "An Anthropic result has the type `type` (default paused).", ("type",)),
)


def _table() -> dict[str, FaultKind]:
    kinds = [
        FaultKind(name=name, strikes=Strikes.CALL, what=what, params=params, method=method, paths=paths)
        for name, what, params, method, paths in _CALLS
    ]
    for strikes, rows in ((Strikes.BATCH, _BATCHES), (Strikes.LINE, _LINES)):
        kinds += [
            FaultKind(name=name, strikes=strikes, what=what, params=params) for name, what, params in rows
        ]
    return {kind.name: kind for kind in kinds}


FAULTS: dict[str, FaultKind] = _table()

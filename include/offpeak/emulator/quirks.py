"""How the batch faults in force change one batch, decided when it is created."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from offpeak.emulator.faults import Fault
from offpeak.emulator.latency import Phases

HIDDEN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a batch fails at validation, in the words of `errors.data`."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(slots=True, kw_only=True)
class Quirks:
    """What is odd about one batch. The defaults are a batch without faults."""

    absent_seconds: float = 0.0  # answers 404 for this long after its creation
    unlisted_seconds: float = 0.0
    empty_error_file_id: bool = False
    all_failed: bool = False
    missing_lines: int = 0
    duplicated_lines: int = 0
    foreign_lines: int = 0
    input_order: bool = False
    failure: Failure | None = None
    token_limit: bool = False
    finished_share: float | None = None  # of the lines, when the window ends
    stuck_validating: bool = False
    generic_expiry: bool = False

    def stretch(self, phases: Phases, window_seconds: float) -> Phases:
        """The phases of a batch that does not finish in its window, if this one is not to."""
        if self.stuck_validating:
            return replace(phases, validating_seconds=math.inf)
        if self.finished_share is None:
            return phases
        phases = replace(phases, waiting_seconds=0.0, stalls_at=1.0)
        if self.finished_share <= 0:
            return replace(phases, running_seconds=math.inf)
        # A share of exactly one would finish on time; a hair over the window still expires.
        running = (window_seconds - phases.validating_seconds) / min(self.finished_share, 1 - 1e-9)
        return replace(phases, running_seconds=running)


def quirks_of(faults: Iterable[Fault]) -> Quirks:
    quirks = Quirks()
    for fault in faults:
        _apply(quirks, fault.kind.name, fault.params)
    return quirks


def _apply(quirks: Quirks, name: str, params: dict[str, object]) -> None:
    def number(key: str, default: float) -> float:
        return float(str(params.get(key, default)))

    if name == "not_found_early":
        quirks.absent_seconds = number("for_seconds", HIDDEN_SECONDS)
    elif name == "late_in_list":
        quirks.unlisted_seconds = number("for_seconds", HIDDEN_SECONDS)
    elif name in ("missing_line", "duplicated_line", "foreign_line"):
        setattr(quirks, name.replace("_line", "_lines"), int(number("lines", 1)))
    elif name in ("empty_error_file_id", "all_failed", "input_order"):
        setattr(quirks, name, True)
    elif name == "token_limit_exceeded":
        quirks.token_limit = True
    elif name == "expired_partial":
        quirks.finished_share = number("share", 0.5)
    elif name == "generic_expiry_error":
        quirks.generic_expiry = True
    elif name == "stuck":
        quirks.stuck_validating = params.get("stage") == "validating"
        quirks.finished_share = 0.0
    elif name in ("file_not_accessible", "batch_failed"):
        quirks.failure = _failure(name, params)


def _failure(name: str, params: dict[str, object]) -> Failure:
    if name == "file_not_accessible":
        return Failure(
            code="invalid_request",
            param="file_id",
            message="Cannot find file {file}, or organization org-emulated does not have access to it.",
        )
    code = str(params.get("code", "billing_hard_limit_reached"))
    return Failure(code=code, message=str(params.get("message", "Billing hard limit has been reached.")))

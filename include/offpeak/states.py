"""The one vocabulary of states. A provider's own words are translated into these in its adapter."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How one request (or one row that never became a request) ended. Exactly one each."""

    ANSWERED = "answered"
    INVALID = "invalid"  # an answer came that breaks the answer schema
    REFUSED = "refused"  # the model declined
    TRUNCATED = "truncated"  # the answer was cut at the output limit
    ERRORED = "errored"  # the provider, or the row itself, failed
    EXPIRED = "expired"  # not run within the provider's window
    CANCELLED = "cancelled"
    MISSING = "missing"  # sent, but in no result file
    DUPLICATE = "duplicate"  # a row whose key an earlier row of the run already has


class RunState(StrEnum):
    """planning → running → checking → publishing → published; or refused, failed, cancelled."""

    PLANNING = "planning"
    RUNNING = "running"
    CHECKING = "checking"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    REFUSED = "refused"  # the verdict was no
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {RunState.PUBLISHED, RunState.REFUSED, RunState.FAILED, RunState.CANCELLED}


class ShardState(StrEnum):
    """written → submitting → in_flight → collected; a failed or cancelled batch leads back to written."""

    WRITTEN = "written"
    SUBMITTING = "submitting"  # somebody holds the lease and may already have paid: look before sending
    IN_FLIGHT = "in_flight"
    COLLECTED = "collected"


class BatchStatus(StrEnum):
    """Where the provider's job is. UNKNOWN is a word we do not know: it is waited on, and reported."""

    VALIDATING = "validating"
    RUNNING = "running"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"  # never ran: validation or a limit
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        return self in {
            BatchStatus.COMPLETED,
            BatchStatus.FAILED,
            BatchStatus.EXPIRED,
            BatchStatus.CANCELLED,
        }


class Route(StrEnum):
    BATCH = "batch"
    REALTIME = "realtime"


class AlertCause(StrEnum):
    """Why somebody is told. One open alert at most per cause and what it is about."""

    AT_RISK = "at_risk"  # the forecast passes due
    LATE = "late"  # due has passed and nothing is published
    FAILED = "failed"
    REFUSED = "refused"  # the verdict was no
    BUDGET = "budget"  # the estimate is above it, or the spend has reached a share of it
    DRIFTED = "drifted"  # the answers are not like those of the last runs
    OUTAGE = "outage"  # much fails alike at one account

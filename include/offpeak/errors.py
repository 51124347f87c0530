"""The errors of Offpeak.

    OffpeakError
    ├── SpecError          the workload or the command is wrong; found before anything is read or sent
    ├── InputError         the rows are wrong; names the file and the row
    ├── ProviderError
    │   ├── ProviderRefused    the provider said no and would say no again
    │   ├── ProviderBusy       not now; may carry the time after which to try again (transient)
    │   └── OutcomeUnknown     the call may have taken effect: look before sending again (transient)
    ├── LedgerConflict     somebody else moved the run or the shard first (transient)
    ├── BudgetError        going on would cost more than the workload allows
    ├── RunEnded           the run was cancelled or stopped; its shards go no further
    ├── ReconcileError     rows in and outcomes out do not add up
    ├── CheckBroken        a check could not be evaluated; says nothing about the data
    ├── GateRefused        the verdict is no; readers keep the last good table
    ├── TableError         the table could not be read or written
    └── DeliveryError      a channel did not take an alert; it is tried again, the run goes on (transient)

A message says what happened, with which values, what is still true (running, billed, published),
and what to do next. Airflow's retries read `transient`.
"""

from __future__ import annotations

from typing import ClassVar


class OffpeakError(Exception):
    """Base of every error that Offpeak raises on purpose."""

    transient: ClassVar[bool] = False


class SpecError(OffpeakError, ValueError):
    """The workload or the command is wrong. Nothing was read, sent or billed."""


class InputError(OffpeakError):
    """The rows are wrong. The message names the file and the row; nothing was sent for this run."""


class ProviderError(OffpeakError):
    """A provider call did not do what it should."""


class ProviderRefused(ProviderError):
    """The provider refused for good: a bad key, an unknown model, a file it cannot accept."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class ProviderBusy(ProviderError):
    """The provider cannot do it now. `retry_after_seconds` is its own wish, None if it stated none."""

    transient = True

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, code: str = "") -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.code = code


class OutcomeUnknown(ProviderError):
    """No answer came back: the call may or may not have taken effect at the provider."""

    transient = True


class LedgerConflict(OffpeakError):
    """The ledger row was not in the expected state: another worker owns or moved it."""

    transient = True


class BudgetError(OffpeakError):
    """The estimate or the spend is above the workload's budget. Nothing more is sent."""


class RunEnded(OffpeakError):
    """The run was cancelled, or stopped for all its rows failing alike. Nothing more of it is sent."""


class ReconcileError(OffpeakError):
    """Rows and outcomes do not add up. Nothing was published."""


class CheckBroken(OffpeakError):
    """A check could not be evaluated. The data was not judged and nothing was published."""


class GateRefused(OffpeakError):
    """The verdict is no. Readers keep the last good table."""


class TableError(OffpeakError):
    """The table could not be read or written. A publish that raises this has changed nothing."""


class DeliveryError(OffpeakError):
    """A channel did not take an alert. The alert is kept and tried again; no run is changed by it."""

    transient = True

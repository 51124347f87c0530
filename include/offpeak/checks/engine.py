"""The one place that runs Great Expectations: some expectations on one frame, and what it found."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from offpeak.checks.expectation import Expectation
from offpeak.checks.verdict import EXAMPLES
from offpeak.importing import lazily

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
_MARK = "offpeak"  # results come back in another order: each carries the number of its expectation


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What Great Expectations says of one expectation; `error` when it could not say."""

    success: bool = False
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def imported() -> ModuleType:
    """Great Expectations, which takes seconds to import: scipy and altair, of which few expectations use anything,
    are loaded when one does. That saves half."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    # 200 lines of a task's log were its notes about its own documentation
    if (its_own := logging.getLogger("great_expectations")).level == logging.NOTSET:
        its_own.setLevel(logging.WARNING)
    with lazily("scipy.stats", "altair"):
        import great_expectations
        import great_expectations.expectations
    return great_expectations


class Engine:
    """Great Expectations without a project folder, progress bars or telemetry. Making one imports it."""

    def __init__(self) -> None:
        great_expectations = imported()
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self.version: str = great_expectations.__version__
        context = great_expectations.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_pandas("staged").add_dataframe_asset("slice")
        self._slices = asset.add_batch_definition_whole_dataframe("whole")

    def judge(self, frame: pd.DataFrame, expectations: Sequence[Expectation]) -> list[Finding]:
        """One finding per expectation, in order. Never raises on what an expectation does."""
        from great_expectations.exceptions.exceptions import GreatExpectationsError

        with _unhashed():
            if any(one.own is not None for one in expectations):
                return [self._alone(frame, one) for one in expectations]
            try:
                return self._together(frame, expectations)
            except (GreatExpectationsError, ValueError, TypeError):
                return [
                    self._alone(frame, one) for one in expectations
                ]  # finds the one that spoils the suite

    def _together(self, frame: pd.DataFrame, expectations: Sequence[Expectation]) -> list[Finding]:
        import great_expectations

        built = [build(one) for one in expectations]
        for number, one in enumerate(built):
            one.meta = {_MARK: number}
        suite = great_expectations.ExpectationSuite("checks", expectations=built)
        slice_ = self._slices.get_batch(batch_parameters={"dataframe": frame})
        results = slice_.validate(suite, result_format=_FORMAT).results
        found = {
            (one.expectation_config.meta or {}).get(_MARK): read(one)
            for one in results
            if one.expectation_config
        }
        return [found.get(number, Finding(error="no result came back")) for number in range(len(built))]

    def _alone(self, frame: pd.DataFrame, expectation: Expectation) -> Finding:
        slice_ = self._slices.get_batch(batch_parameters={"dataframe": frame})
        try:
            return read(slice_.validate(build(expectation), result_format=_FORMAT))
        except Exception as error:  # noqa: BLE001  the border to users' own classes: any error means "not judged"
            return Finding(error=_short(f"{type(error).__name__}: {error}"))


@contextmanager
def _unhashed() -> Iterator[None]:
    """Great Expectations hashes each frame below a gigabyte, twice, for a marker on pages of its own. That takes
    as long as judging it, and nobody reads it here."""
    from great_expectations.execution_engine import pandas_execution_engine as engine

    limit, engine.HASH_THRESHOLD = engine.HASH_THRESHOLD, 0
    try:
        yield
    finally:
        engine.HASH_THRESHOLD = limit


def build(expectation: Expectation) -> Any:
    """Great Expectations' own object. Raises ValueError (its validation) for arguments that it refuses."""
    offered = imported().expectations
    if expectation.own is not None:
        return expectation.own.copy(deep=True)
    return getattr(offered, expectation.type)(**expectation.kwargs, severity=str(expectation.severity))


def rehearse(expectations: Sequence[Expectation]) -> list[str]:
    """What Great Expectations would refuse about arguments, before anything is paid. Imports it (seconds)."""
    problems = []
    for one in expectations:
        try:
            build(one)
        except (ValueError, TypeError) as error:
            problems.append(f"{one.type}: {_short(str(error))}")
    return problems


def read(result: Any) -> Finding:
    """A validation result as a finding. An engine error is not raised there but noted, in two shapes."""
    error = _noted_error(result.exception_info or {})
    return Finding(success=bool(result.success) and not error, result=result.result or {}, error=error)


def _noted_error(info: Mapping[str, Any]) -> str:
    """`{"raised_exception": true, ...}`, or the same once per metric under the metric's id."""
    notes = (
        [info] if "raised_exception" in info else [note for note in info.values() if isinstance(note, dict)]
    )
    raised = [note for note in notes if note.get("raised_exception") in (True, "True")]
    return _short(str(raised[0].get("exception_message") or "an error without a message")) if raised else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:299]}…"

"""The facts of a report: everything the page shows, gathered from the ledger and the store alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

from offpeak.report.answers import Answers, answers
from offpeak.report.changes import Changes, changes
from offpeak.report.coverage import Coverage, coverage
from offpeak.report.headline import Headline, headline
from offpeak.report.identity import Identity, identity
from offpeak.report.judged import Judged, judged
from offpeak.report.material import Material, material
from offpeak.report.models import Models, models
from offpeak.report.money import Money, money
from offpeak.report.timing import Timing, timing

if TYPE_CHECKING:
    from offpeak.site import Site

VERSION = 1
"""Of the JSON. Keys are added without a new version, never renamed or removed within one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One run at one moment. None stands for what is not known yet."""

    version: int
    made_at: datetime
    state: str
    identity: Identity
    headline: Headline
    models: Models
    coverage: Coverage
    judged: Judged | None
    answers: Answers | None
    money: Money
    timing: Timing
    changes: Changes

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-serialisable values: money as decimal text, times as ISO 8601 in UTC."""
        made = plain(self)
        assert isinstance(made, dict)
        return made


def gather(site: Site, run_id: str) -> Facts:
    """The facts of a run in any state; what is missing is None or empty. SpecError when there is no such run."""
    found = material(site, run_id)
    return _facts(found, coverage(found, site.store), models(found, site.store))


def _facts(found: Material, covered: Coverage, answered_by: Models) -> Facts:
    return Facts(
        version=VERSION,
        made_at=found.now,
        state=found.run.state.value,
        identity=identity(found),
        headline=headline(found, covered),
        models=answered_by,
        coverage=covered,
        judged=judged(found),
        answers=answers(found),
        money=money(found, covered),
        timing=timing(found),
        changes=changes(found),
    )


def plain(value: Any) -> Any:
    """A record as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value

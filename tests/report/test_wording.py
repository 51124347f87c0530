"""Numbers, money and time as a reader sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from offpeak.providers.provider import Usage
from offpeak.report.coverage import MEANING, _kept
from offpeak.report.facts import plain
from offpeak.report.identity import COLUMNS
from offpeak.report.money import TOKENS
from offpeak.report.wording import clock, moment, number, points, share, shown, span, usd
from offpeak.states import Outcome
from offpeak.tables.table import PROVENANCE


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "not known"),
        (Decimal(0), "$0.00"),
        (Decimal("0.00001"), "less than $0.0001"),
        (Decimal("0.0871"), "$0.0871"),
        (Decimal("12345.678"), "$12,345.68"),
        (Decimal("-0.5"), "−$0.5000"),
    ],
)
def test_money_is_shown_to_the_digit_that_matters(amount: Decimal | None, text: str) -> None:
    assert usd(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.97, "10 s"),
        (59.7, "1 min"),
        (33 * 60, "33 min"),
        (72 * 60, "1 h 12 min"),
        (25 * 3600, "25 h"),
        (80 * 3600, "3 days"),
        (-120, "2 min"),
    ],
)
def test_spans_of_time_have_one_or_two_units(seconds: float, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text


def test_times_are_shown_with_their_zone_and_only_as_much_date_as_is_needed() -> None:
    now = datetime(2026, 11, 22, 8, tzinfo=UTC)
    berlin = timezone(timedelta(hours=1))
    assert clock(datetime(2026, 11, 22, 8, 12, tzinfo=berlin), now) == "07:12 UTC"
    assert clock(datetime(2026, 11, 21, 6, 10, tzinfo=UTC), now) == "21 Nov 06:10 UTC"
    assert clock(datetime(2025, 12, 31, 23, 0, tzinfo=UTC), now) == "31 Dec 2025 23:00 UTC"
    assert moment(now) == "22 Nov 2026, 08:00 UTC"


def test_numbers_shares_and_changes_are_never_rounded_into_a_lie() -> None:
    assert number(3080) == "3,080"
    assert share(0.99999) == "more than 99.99 %"
    assert share(-0.5) == "−50 %"
    assert points(2.34) == "+2.3"
    assert points(-0.04) == "±0.0"


def test_a_bidi_mark_is_made_visible() -> None:
    assert shown("a\u202eb") == "a⟨U+202E⟩b"


def test_every_outcome_token_kind_and_provenance_column_is_explained() -> None:
    assert set(MEANING) == set(Outcome)
    assert set(TOKENS) == set(Usage.__dataclass_fields__)
    assert list(COLUMNS) == [name for name, _ in PROVENANCE]


def test_of_a_round_that_goes_on_only_what_is_not_asked_again_counts() -> None:
    outcomes = {"answered": 80, "refused": 3, "invalid": 10, "errored": 7}
    assert _kept(outcomes, 12) == {"answered": 80, "refused": 3, "errored": 5}


def test_json_values_keep_money_exact_and_times_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    assert plain(Decimal("1E-7")) == "0.0000001"
    assert plain(datetime(2026, 11, 22, 8, tzinfo=berlin)) == "2026-11-22T07:00:00Z"
    assert plain(float("nan")) == "nan"

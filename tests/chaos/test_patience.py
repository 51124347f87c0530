"""Looking for a batch that may have been made: patiently enough, whoever looks and whatever the clock says."""

from __future__ import annotations

import pytest

from tests.chaos.boundaries import Boundary
from tests.chaos.company import Company, Totals
from tests.chaos.scene import ALONE, Scene
from tests.chaos.weather import PROVIDERS, Fault, Weather, real_seconds

LATE = Weather(
    name="late",
    faults=(Fault(name="late_in_list", times=-1, match={"params": real_seconds(2)}),),
    settle_seconds=3,
)
"""Every new batch stays out of the list longer than an heir needs to begin."""


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_heirs_own_batch_is_looked_for_as_patiently_as_the_first_ones(
    provider: str, company: Company, totals: Totals
) -> None:
    """The first dies before its paid call; its heir waits, proves that there is no batch, makes one and dies."""
    scene = Scene(
        weather=LATE,
        provider=provider,
        ledger="sqlite",
        attempts=(
            (Boundary("client.create", 1, "before"),),
            (Boundary("client.create", 1, "after"),),
            ALONE,
        ),
        shard_rows=100,
    )
    wrong = company.play([scene], totals, exactly=False)
    assert not wrong, "\n".join(wrong)
    assert (totals["crashes"], totals["created"]) == (2, 1)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_clock_that_was_set_back_does_not_hide_an_earlier_try(
    provider: str, company: Company, totals: Totals
) -> None:
    """By the heir's clock the dead one's intent lies in the future. It is an earlier try all the same."""
    scene = Scene(
        weather=Weather(name="set back", faults=()),
        provider=provider,
        ledger="sqlite",
        attempts=((Boundary("client.create", 1, "after"),), ALONE),
        shard_rows=100,
        set_back_seconds=5,
    )
    wrong = company.play([scene], totals, exactly=False)
    assert not wrong, "\n".join(wrong)
    assert (totals["crashes"], totals["created"]) == (1, 1)

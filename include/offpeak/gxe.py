"""Great Expectations' expectations by their own names, without importing it: `from offpeak import gxe`.

`gxe.ExpectColumnValuesToBeInSet(column="urgency", value_set=["low", "high"], mostly=0.99)` makes an
`Expectation` that is checked at once. The real object is made from it in the task that judges.
"""

from __future__ import annotations

import difflib
from functools import partial
from typing import TYPE_CHECKING

from offpeak.checks.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from offpeak.checks.expectation import Expectation


def __getattr__(name: str) -> Callable[..., Expectation]:
    """The maker of expectations called `name`; AttributeError, with the nearest name, if there is none."""
    from offpeak.checks.expectation import expect

    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f" Did you mean {near[0]}?" if near and not name.startswith("__") else ""
        raise AttributeError(f"Great Expectations has no expectation {name}.{hint}")
    return partial(expect, name)


def __dir__() -> list[str]:
    return sorted(CATALOGUE)

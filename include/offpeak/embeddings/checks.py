"""What is expected of vectors, as Great Expectations' own expectations on plain columns (see measures.py)."""

from __future__ import annotations

from dataclasses import dataclass

from offpeak.checks.expectation import Check, Expectation, expect
from offpeak.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorChecks:
    """The limits of the checks that every run of embeddings makes. SpecError for a limit that cannot be."""

    norm: tuple[float, float] | None = (0.98, 1.02)
    """Within which every vector's length lies; None where a model does not normalise: then above 0."""
    max_twins: float = 0.02
    """The share of vectors that may equal the vector of another text."""
    neighbours: float = 0.3
    """The mean share of the ten nearest texts that must be the same as in the version readers have, over texts
    that both hold; 0 for none."""
    max_lost: float = 0.5
    """The share of the chunks readers have that may go in one run of the same version."""
    recall: float = 0.8
    """The share of golden questions whose document must be among the `found_within` nearest chunks; 0 for none."""
    found_within: int = 5

    def __post_init__(self) -> None:
        for name in ("max_twins", "neighbours", "max_lost", "recall"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise SpecError(f"VectorChecks({name}={value!r}): give a share between 0 and 1.")
        if not isinstance(self.found_within, int) or not 1 <= self.found_within <= 100:
            raise SpecError(f"VectorChecks(found_within={self.found_within!r}): give 1 to 100.")
        if self.norm is not None and not 0 < self.norm[0] <= self.norm[1]:
            raise SpecError(f"VectorChecks(norm={self.norm!r}): give (least, most), both above 0, or None.")

    def of_rows(self, dimensions: int) -> tuple[Check, ...]:
        """On the columns that `measured_rows` makes."""
        least, most = self.norm or (0.0, None)
        lengths = {"min_value": least, **({"max_value": most} if most else {"strict_min": True})}
        return _critical(
            expect("ExpectColumnValuesToBeInSet", column="dimensions", value_set=[dimensions]),
            expect(
                "ExpectColumnValuesToBeInSet",
                column="finite",
                value_set=[True],
                description="every number of a vector is finite",
            ),
            expect("ExpectColumnValuesToBeBetween", column="norm", **lengths),
            expect(
                "ExpectColumnValuesToBeBetween",
                column="spread",
                min_value=0,
                strict_min=True,
                description="no vector is constant: its largest and its smallest number differ",
            ),
            expect(
                "ExpectColumnValuesToBeNull",
                column="twin",
                mostly=round(1 - self.max_twins, 12),
                description="a vector does not equal the vector of another text",
            ),
        )

    def of_count(self) -> tuple[Check, ...]:
        """On one row: `kept`, the chunks now over those that readers have, 1 at most."""
        return _critical(
            expect(
                "ExpectColumnValuesToBeBetween",
                column="kept",
                min_value=round(1 - self.max_lost, 12),
                description=f"at most {self.max_lost:.0%} of the chunks that readers have go at once (max_lost)",
            )
        )

    def of_neighbours(self) -> tuple[Check, ...]:
        """On one row for each probe: `overlap`."""
        if not self.neighbours:
            return ()
        return _critical(expect("ExpectColumnMeanToBeBetween", column="overlap", min_value=self.neighbours))

    def of_golden(self) -> tuple[Check, ...]:
        """On one row for each question: `found`, 1 or 0."""
        if not self.recall:
            return ()
        return _critical(expect("ExpectColumnMeanToBeBetween", column="found", min_value=self.recall))


def _critical(*expectations: Expectation) -> tuple[Check, ...]:
    return tuple(Check(expectation=one, origin="implied") for one in expectations)

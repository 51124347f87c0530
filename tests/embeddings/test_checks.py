"""Each check of vectors refuses the vectors that it is there for, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offpeak.checks import judge
from offpeak.checks.measures import Measured, Measuring
from offpeak.embeddings import Embeddings, VectorChecks
from offpeak.embeddings.measures import VectorMeasures, measured_rows
from offpeak.embeddings.neighbours import Sample, overlaps, sampled
from offpeak.errors import GateRefused, SpecError
from offpeak.states import RunState
from tests.embeddings.making import corpus, embeddings, page, published
from tests.run.making import Place

SIZE, COUNT = 16, 60


def good() -> np.ndarray[Any, Any]:
    made = np.random.default_rng(7).normal(size=(COUNT, SIZE)).astype(np.float32)
    unit: np.ndarray[Any, Any] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def staged(
    folder: Path, numbers: np.ndarray[Any, Any], *, size: int = SIZE, texts: list[str] | None = None
) -> Path:
    vector = pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1), pa.float32()), size)
    count = len(vector)
    table = pa.table(
        {
            "chunk": [f"c{n}" for n in range(count)],
            "text": [f"text {n}" for n in range(count)],
            "_fingerprint": texts or [f"f{n}" for n in range(count)],
            "_outcome": ["answered"] * count,
            "vector": vector,
        }
    )
    path = folder / "staged.parquet"
    pq.write_table(table, path)
    return path


def failed(folder: Path, staged_file: Path, checks: VectorChecks = VectorChecks()) -> list[str]:  # noqa: B008
    """What the checks of rows say against a staged file."""
    verdict = judge(measured_rows(staged_file, folder), checks.of_rows(SIZE), key="chunk")
    assert not [one for one in verdict.checks if one.broken]
    return [one.columns[0] for one in verdict.checks if not one.success]


def nothing(numbers: np.ndarray[Any, Any]) -> None: ...


def one_nan(numbers: np.ndarray[Any, Any]) -> None:
    numbers[3, 2] = np.nan


def one_infinite(numbers: np.ndarray[Any, Any]) -> None:
    numbers[3, 2] = np.inf


def all_zero(numbers: np.ndarray[Any, Any]) -> None:
    numbers[5] = 0


def too_long(numbers: np.ndarray[Any, Any]) -> None:
    numbers[5] *= 1.1


def constant(numbers: np.ndarray[Any, Any]) -> None:
    numbers[8] = 1 / np.sqrt(SIZE)


def twins(numbers: np.ndarray[Any, Any]) -> None:
    numbers[10:20] = numbers[0]


@pytest.mark.parametrize(
    ("spoil", "against"),
    [
        (nothing, []),
        (one_nan, ["finite"]),
        (one_infinite, ["finite"]),
        (all_zero, ["norm", "spread"]),
        (too_long, ["norm"]),
        (constant, ["spread"]),
        (twins, ["twin"]),
    ],
)
def test_bad_vectors_are_refused_by_the_check_that_is_about_them(
    tmp_path: Path, spoil: Callable[[np.ndarray[Any, Any]], None], against: list[str]
) -> None:
    numbers = good()
    spoil(numbers)
    assert failed(tmp_path, staged(tmp_path, numbers)) == against


def test_vectors_of_another_length_are_refused(tmp_path: Path) -> None:
    numbers = np.eye(8, dtype=np.float32)
    assert failed(tmp_path, staged(tmp_path, numbers, size=8)) == ["dimensions"]


def test_equal_vectors_of_equal_texts_are_no_twins(tmp_path: Path) -> None:
    numbers = good()
    numbers[10:20] = numbers[0]
    texts = [f"f{0 if n == 0 or 10 <= n < 20 else n}" for n in range(COUNT)]
    assert failed(tmp_path, staged(tmp_path, numbers, texts=texts)) == []


def test_a_model_that_does_not_normalise_needs_only_a_length_above_nothing(tmp_path: Path) -> None:
    numbers = good() * 7
    assert failed(tmp_path, staged(tmp_path, numbers)) == ["norm"]
    assert failed(tmp_path, staged(tmp_path, numbers), VectorChecks(norm=None)) == []
    numbers[0] = 0
    assert failed(tmp_path, staged(tmp_path, numbers), VectorChecks(norm=None)) == ["norm", "spread"]


def test_neighbours_are_the_same_when_the_space_is_turned_and_others_when_it_is_shuffled() -> None:
    numbers = good()
    texts = [f"text {n}" for n in range(COUNT)]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(SIZE, SIZE)))[0].astype(np.float32)
    before = sampled([(texts, numbers)])
    assert np.mean(overlaps(before, sampled([(texts, numbers @ turn)])).overlap) > 0.99
    shuffled = np.random.default_rng(2).permutation(numbers)
    assert np.mean(overlaps(before, sampled([(texts, shuffled)])).overlap) < 0.35
    assert overlaps(before, sampled([(["other"], numbers[:1])])).compared == 0


def test_a_sample_picks_the_same_texts_on_both_sides_whatever_their_order() -> None:
    numbers, texts = good(), [f"text {n}" for n in range(COUNT)]
    one = sampled([(texts[:20], numbers[:20]), (texts[20:], numbers[20:])], size=25)
    other: Sample = sampled([(texts[::-1], numbers[::-1])], size=25)
    assert len(one.hashes) == 25
    assert np.array_equal(one.hashes, other.hashes)
    assert np.array_equal(one.vectors, other.vectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiling:
    """The measures of a workload, on vectors that were spoiled on their way."""

    measures: VectorMeasures
    spoil: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]

    def take(self, measuring: Measuring) -> Iterator[Measured]:
        table = pq.read_table(measuring.staged)
        kind = table.schema.field("vector").type
        numbers = np.array(table["vector"].combine_chunks().flatten()).reshape(-1, kind.list_size)
        flat = pa.array(self.spoil(numbers).reshape(-1), pa.float32())
        vector = pa.FixedSizeListArray.from_arrays(flat, type=kind)
        path = measuring.folder / "spoiled.parquet"
        pq.write_table(table.set_column(table.schema.get_field_index("vector"), "vector", vector), path)
        from dataclasses import replace

        yield from self.measures.take(replace(measuring, staged=path))


def spoiled(spec: Embeddings, spoil: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> Any:
    from dataclasses import replace

    measures = spec.workload.measures
    assert isinstance(measures, VectorMeasures)
    return replace(spec.workload, measures=Spoiling(measures=measures, spoil=spoil))


def test_a_no_keeps_readers_on_the_vectors_they_have(shop: Place) -> None:
    pages = {
        f"{name}.md": page(name, 12) for name in ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
    }
    corpus(shop.store, pages)
    first = embeddings()
    shop.run(first.workload, hour=1)
    before = published(shop, first)
    other = embeddings(dimensions=128)
    shuffle = np.random.default_rng(3).permutation
    with pytest.raises(GateRefused, match=r"the mean of overlap is at least 0\.3"):
        shop.run(spoiled(other, shuffle), hour=2)
    with pytest.raises(GateRefused, match=r"norm is between 0\.98 and 1\.02"):
        shop.run(spoiled(other, lambda numbers: numbers * 2), hour=3)
    assert published(shop, first) == before
    run = shop.run(other.workload, hour=4)
    assert run.state is RunState.PUBLISHED
    assert run.facts["measured"]["neighbours"]["overlap"] > 0.5
    assert run.facts["requests"] == 0  # what the refused runs had embedded is not asked again


@pytest.mark.parametrize(
    "limits", [{"recall": 2}, {"neighbours": "x"}, {"found_within": 0}, {"norm": (2, 1)}, {"max_lost": True}]
)
def test_a_limit_that_cannot_be_is_refused_at_once(limits: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="give"):
        VectorChecks(**limits)

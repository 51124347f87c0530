"""Results: exactly one outcome for each request that was sent, whatever the provider's files hold."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak import Prompt, Vector, Workload
from offpeak.arrays import texts
from offpeak.blocks import Block
from offpeak.prices import Price, Rates
from offpeak.providers.plain import Plains
from offpeak.providers.provider import Reply, Usage
from offpeak.reconcile import reconcile
from offpeak.requests import custom_id
from offpeak.result_writer import ResultWriter
from offpeak.results import USAGE, Answered, Origin, Result, Tally, judge, result_schema
from offpeak.rounds import MORE_ROOM_FACTOR, POLICY, Again, again, note, policy_of
from offpeak.states import BatchStatus, Outcome, Route
from tests.core.making import NOW, batch, errored, read, refused, said, truncated, workload

TAG = "0123456789"
PRINTS = [f"{number:032x}" for number in range(6)]
GOOD = '{"kind": "card", "urgent": true}'
ORIGIN = Origin(run_id="run", round=1, route=Route.BATCH, at=NOW)
JUNK = st.sampled_from(
    [
        b"",
        b"not json",
        b'{"custom_id": 3}',
        b'{"half": "',
        b"[]",
        b"null",
        b"\xff\xfe",
        said("9999999999-" + "a" * 32, GOOD),
        said(f"{TAG}-" + "f" * 32, GOOD),
        said("foreign-1", GOOD),
        said(f"{TAG}-short", GOOD),
    ]
)


def answers(of: Any, fingerprint: str) -> st.SearchStrategy[bytes]:
    made = custom_id(TAG, fingerprint)
    return st.sampled_from(
        [
            said(made, GOOD),
            said(made, "no json"),
            refused(made),
            truncated(made),
            errored(made),
            errored(made, status=400),
        ]
    )


LINES = st.lists(st.one_of(JUNK, *(answers(None, name) for name in PRINTS)), max_size=15)


def flat(of: Workload, found: Iterable[Answered | Result]) -> list[Result]:
    """Every result by itself."""
    results: list[Result] = []
    names = of.form.schema().names
    for one in found:
        if isinstance(one, Result):
            results.append(one)
            continue
        answers = zip(*(column.to_pylist() for column in one.columns), strict=True)
        for fingerprint, model, usage, answer in zip(
            one.fingerprints.to_pylist(),
            one.models.to_pylist(),
            one.usage.tolist(),
            answers,
            strict=True,
        ):
            results.append(
                Result(
                    fingerprint=fingerprint,
                    outcome=Outcome.ANSWERED,
                    answer=dict(zip(names, answer, strict=True)),
                    model=model,
                    usage=Usage(**dict(zip(USAGE, usage, strict=True))),
                )
            )
    return results


@settings(max_examples=150, deadline=None)
@given(
    lines=LINES,
    sent=st.lists(st.sampled_from(PRINTS), unique=True),
    status=st.sampled_from(
        [BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED, BatchStatus.FAILED]
    ),
)
def test_each_request_has_exactly_one_outcome_whatever_comes_back(
    lines: list[bytes], sent: list[str], status: BatchStatus
) -> None:
    made, tally = workload(), Tally()
    results = flat(made, reconcile(made, [Block.of(lines)], texts(sent), TAG, batch(status=status), tally))
    assert Counter(result.fingerprint for result in results) == Counter(sent)
    first: dict[str, Reply] = {}
    ours = unread = foreign = 0
    for line in lines:
        reply = made.provider.parse(line)
        name = reply.custom_id.removeprefix(f"{TAG}-")
        if not reply.custom_id:
            unread += 1
        elif reply.custom_id.startswith(f"{TAG}-") and name in sent:
            ours += 1
            first.setdefault(name, reply)
        else:
            foreign += 1
    assert (tally.unreadable, tally.foreign, tally.repeated) == (unread, foreign, ours - len(first))
    absent = {BatchStatus.EXPIRED: "expired", BatchStatus.CANCELLED: "cancelled"}.get(status, "missing")
    for result in results:
        reply = first.get(result.fingerprint)
        if reply is None:
            assert result.outcome == absent
            assert result.code == f"no_result_{absent}"
        else:
            assert result == judge(made, result.fingerprint, reply)
    asked_again = [result for result in results if result.outcome is Outcome.MISSING]
    assert all(result.transient for result in asked_again)


class Slow:
    """A provider that takes no line for a plain answer: each is read the obvious way."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def plain(self, lines: Block, dimensions: int | None) -> Plains:
        found: Plains = self._provider.plain(lines, dimensions)
        return found.at(np.zeros(len(found.places), bool))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


@settings(max_examples=80, deadline=None)
@given(lines=LINES, sent=st.lists(st.sampled_from(PRINTS), unique=True))
def test_results_read_fast_are_written_as_those_read_one_by_one(
    lines: list[bytes], sent: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("both")
    fast, slow = workload(), workload()
    slow.__dict__["provider"] = Slow(slow.provider)
    written, tallies = [], []
    for number, of in enumerate((fast, slow)):
        tally = Tally()
        path = folder / f"{number}.parquet"
        with ResultWriter(of, path, tally, ORIGIN) as writer:
            for found in reconcile(of, [Block.of(lines)], texts(sent), TAG, batch(), tally):
                if isinstance(found, Answered):
                    writer.add_many(found)
                else:
                    writer.add(found)
        written.append(sorted(read(path), key=lambda row: str(row["_fingerprint"])))
        tallies.append(tally)
    assert written[0] == written[1]
    reasons = {row["_reason"] for row in written[0]} | {""}
    assert {tally.sample_reason for tally in tallies} <= reasons, (
        "which of them is the first depends on the way"
    )
    assert replace(tallies[0], sample_reason="") == replace(tallies[1], sample_reason="")


def reply(outcome: Outcome = Outcome.ANSWERED, **more: Any) -> Reply:
    return Reply(custom_id="x", outcome=outcome, model="m", usage=Usage(input_tokens=5), **more)


def test_an_answer_that_keeps_to_the_schema_is_answered_and_its_text_not_kept_twice() -> None:
    result = judge(workload(), "f", reply(text=GOOD))
    assert result.outcome is Outcome.ANSWERED
    assert result.answer == {"kind": "card", "urgent": True}
    assert (result.raw, result.reason, result.code) == ("", "", "")


def test_an_answer_that_breaks_the_schema_is_invalid_with_its_text_and_why() -> None:
    result = judge(workload(), "f", reply(text='{"kind": "dog", "urgent": true}'))
    assert (result.outcome, result.code) == (Outcome.INVALID, "schema")
    assert "kind: Input should be 'card', 'refund' or 'other' (given: 'dog')" in result.reason
    assert result.raw == '{"kind": "dog", "urgent": true}'
    assert result.usage == Usage(input_tokens=5), "it was paid for all the same"


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.ANSWERED])
def test_every_other_outcome_is_kept_as_the_provider_told_it(outcome: Outcome) -> None:
    result = judge(workload(), "f", reply(outcome, text="partly", code="c", message="why", transient=True))
    assert (result.outcome, result.raw, result.code, result.reason) == (outcome, "partly", "c", "why")
    assert result.answer is None
    assert result.transient


def test_half_a_character_pair_in_what_is_kept_becomes_a_question_mark() -> None:
    result = judge(workload(), "f", reply(Outcome.REFUSED, text="a\ud800b", code="c", message="m\udfff"))
    assert (result.raw, result.reason) == ("a?b", "m?")
    assert judge(workload(answer=str), "f", reply(text="a\ud800")).outcome is Outcome.INVALID


def vectors(dimensions: int = 3) -> Any:
    return workload(
        model="openai:text-embedding-3-small", answer=Vector(dimensions), prompt=Prompt(user="{{ row.text }}")
    )


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        (b"", "0 dimensions"),
        (bytes(8), "2 dimensions"),
        (bytes(16), "4 dimensions"),
        (bytes(13), "3.25 dimensions"),
    ],
)
def test_a_vector_of_another_length_is_invalid(vector: bytes, says: str) -> None:
    result = judge(vectors(), "f", reply(vector=vector))
    assert (result.outcome, result.code) == (Outcome.INVALID, "dimensions")
    assert f"the vector has {says}, not 3" in result.reason


def write(of: Any, path: Path, results: list[Any], origin: Origin = ORIGIN) -> Tally:
    tally = Tally()
    with ResultWriter(of, path, tally, origin) as writer:
        for result in results:
            writer.add(result)
    return tally


def test_a_results_file_holds_answers_provenance_and_reasons(tmp_path: Path) -> None:
    made = workload()
    usage = Usage(input_tokens=1_000, cached_tokens=200, output_tokens=50, reasoning_tokens=10)
    replies = [
        Reply(custom_id="x", outcome=Outcome.ANSWERED, text=GOOD, model="gpt-5-mini-2025-08-07", usage=usage),
        Reply(
            custom_id="x",
            outcome=Outcome.REFUSED,
            text="No.",
            code="refusal",
            message="declined",
            usage=usage,
        ),
    ]
    tally = write(made, tmp_path / "r.parquet", [judge(made, f"{n}", r) for n, r in enumerate(replies)])
    file = pq.ParquetFile(tmp_path / "r.parquet")
    assert file.schema_arrow.equals(result_schema(made))
    answered, declined = read(tmp_path / "r.parquet")
    each = (Decimal(800) * Decimal("0.125") + 200 * Decimal("0.0125") + 50 * Decimal(1)) / 1_000_000
    assert answered == {
        "kind": "card",
        "urgent": True,
        "_fingerprint": "0",
        "_model": "gpt-5-mini-2025-08-07",
        "_run": "run",
        "_outcome": "answered",
        "_input_tokens": 1_000,
        "_output_tokens": 50,
        "_cost_usd": answered["_cost_usd"],
        "_answered_at": NOW,
        "_round": 1,
        "_code": None,
        "_reason": None,
        "_raw": None,
    }
    assert abs(answered["_cost_usd"] - each) < Decimal("1e-5")
    assert (declined["kind"], declined["_answered_at"], declined["_raw"]) == (None, None, "No.")
    assert (declined["_code"], declined["_reason"]) == ("refusal", "declined")
    assert tally.outcomes == {"answered": 1, "refused": 1}
    assert tally.usage["cached_tokens"] == 400
    assert tally.model == "gpt-5-mini-2025-08-07"


def test_vectors_are_written_as_they_came_float_for_float(tmp_path: Path) -> None:
    made = vectors()
    values = [1.5, -0.1, 3.4e38]
    packed = struct.pack("<3f", *values)
    results = [
        judge(made, "a", reply(vector=packed)),
        judge(made, "b", reply(vector=b"")),
        judge(made, "c", reply(vector=packed)),
    ]
    write(made, tmp_path / "r.parquet", results)
    column = pq.ParquetFile(tmp_path / "r.parquet").read()["vector"].combine_chunks()
    assert column.type == pa.binary(12)
    assert column.to_pylist() == [packed, None, packed]


@settings(max_examples=40, deadline=None)
@given(
    usages=st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 20_000)), max_size=20),
    rates=st.tuples(*(st.decimals(Decimal("0.0001"), 100, places=4) for _ in range(4))),
)
def test_money_is_added_up_to_the_digit_that_the_table_keeps(
    tmp_path_factory: pytest.TempPathFactory, usages: list[tuple[int, int]], rates: tuple[Decimal, ...]
) -> None:
    price = Price(
        realtime=Rates(input=rates[0], output=rates[1]), batch=Rates(input=rates[2], output=rates[3])
    )
    made = workload(price=price)
    path = tmp_path_factory.mktemp("money") / "r.parquet"
    results = [
        judge(
            made,
            f"{n}",
            Reply(
                custom_id="x",
                outcome=Outcome.ANSWERED,
                text=GOOD,
                usage=Usage(input_tokens=into, output_tokens=out),
            ),
        )
        for n, (into, out) in enumerate(usages)
    ]
    tally = write(made, path, results)
    costs = [row["_cost_usd"] for row in read(path)]
    assert sum(costs, Decimal(0)) == tally.cost_usd
    for cost, (into, out) in zip(costs, usages, strict=True):
        assert abs(cost - (into * rates[2] + out * rates[3]) / 1_000_000) <= Decimal("5e-10")


def test_an_unknown_price_is_unknown_and_never_nought(tmp_path: Path) -> None:
    made = workload(model="openai:my-own")
    tally = write(made, tmp_path / "r.parquet", [judge(made, "a", reply(text=GOOD))])
    assert (tally.cost_usd, tally.realtime_usd) == (None, None)
    assert read(tmp_path / "r.parquet")[0]["_cost_usd"] is None


def test_long_raw_texts_are_cut_and_written_before_they_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offpeak.result_writer.HELD_BYTES", 500_000)
    made = workload()
    results = [judge(made, f"{n}", reply(Outcome.REFUSED, text="x" * 300_000, code="c")) for n in range(6)]
    write(made, tmp_path / "r.parquet", results)
    file = pq.ParquetFile(tmp_path / "r.parquet")
    assert file.num_row_groups == 2
    assert {len(row["_raw"]) for row in read(tmp_path / "r.parquet")} == {200_000}


# -- rounds


@pytest.mark.parametrize(
    ("outcome", "transient", "how"),
    [
        (Outcome.ANSWERED, True, Again.NO),
        (Outcome.INVALID, False, Again.WITH_NOTE),
        (Outcome.REFUSED, True, Again.NO),
        (Outcome.TRUNCATED, False, Again.MORE_ROOM),
        (Outcome.ERRORED, True, Again.SAME),
        (Outcome.ERRORED, False, Again.NO),
        (Outcome.EXPIRED, True, Again.SAME),
        (Outcome.CANCELLED, True, Again.SAME),
        (Outcome.MISSING, True, Again.SAME),
        (Outcome.DUPLICATE, True, Again.NO),
    ],
)
def test_each_outcome_is_asked_again_by_its_own_rule_until_the_last_round(
    outcome: Outcome, transient: bool, how: Again
) -> None:
    assert again(outcome, POLICY, transient=transient, round_number=1, rounds=3) is how
    assert again(outcome, POLICY, transient=transient, round_number=3, rounds=3) is Again.NO


def test_the_note_to_the_model_is_short_and_says_why() -> None:
    text = note("kind: Input should be 'card'" + "x" * 9_000)
    assert "kind: Input should be 'card'" in text
    assert len(text) < 700
    assert MORE_ROOM_FACTOR > 1
    assert json.dumps(text)


def test_a_policy_of_ones_own_changes_its_outcomes_only_and_never_a_lasting_error() -> None:
    own = policy_of({"refused": "same", "errored": "same"})
    assert again(Outcome.REFUSED, own, transient=False, round_number=1, rounds=2) is Again.SAME
    assert again(Outcome.REFUSED, own, transient=False, round_number=2, rounds=2) is Again.NO
    assert again(Outcome.ERRORED, own, transient=False, round_number=1, rounds=2) is Again.NO
    assert {**own, Outcome.REFUSED: Again.NO} == POLICY

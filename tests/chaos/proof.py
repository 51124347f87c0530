"""The proof: what must be true of the provider, the ledger, the store and the table once a run has ended.

Every finding is a sentence; an empty list is the proof.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from offpeak.ledger import Ledger, Run, Shard
from offpeak.states import RunState, ShardState
from tests.chaos.child import ROWS
from tests.chaos.scene import Played

HIDDEN_SECONDS = 20_000.0
"""Virtual; longer than any fault hides a batch, so that everything at the provider can be seen."""

Answers = tuple[tuple[str, str | None, bool | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a run in this weather comes to when nobody dies."""

    answers: Answers
    creates: int
    requests: int
    billed: int

    @property
    def numbers(self) -> tuple[int, int, int]:
        return self.creates, self.requests, self.billed


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything there is to see after a scene, read once."""

    played: Played
    runs: tuple[Run, ...]
    shards: tuple[Shard, ...]
    batch_ids: tuple[str, ...]
    """That the ledger knows."""
    created: tuple[tuple[str, int], ...]
    """Id and number of requests of every batch that the provider accepted."""
    billed: int
    billed_tokens: tuple[int, int]

    @classmethod
    def of(cls, played: Played) -> Evidence:
        ledger, control = Ledger(str(played.place.ledger_url)), played.place.emulator.control
        control.clear_faults()  # what is left of them would strike those who look
        control.advance(HIDDEN_SECONDS)
        try:
            runs = tuple(ledger.runs(limit=20))
            known = [batch.batch_id for run in runs for batch in ledger.batches(run.run_id)]
            shards = tuple(shard for run in runs for shard in ledger.shards(run.run_id))
        finally:
            ledger.close()
        paid = control.state().billed[played.scene.provider]
        return cls(
            played=played,
            runs=runs,
            shards=shards,
            batch_ids=tuple(known),
            created=tuple((made.batch_id, made.requests) for made in control.creates()),
            billed=paid.requests,
            billed_tokens=(paid.input_tokens, paid.output_tokens),
        )

    def truth(self) -> Truth:
        return Truth(
            answers=answers_of(self.runs[0]) if self.runs else (),
            creates=len(self.created),
            requests=sum(requests for _, requests in self.created),
            billed=self.billed,
        )


def answers_of(run: Run) -> Answers:
    """What readers see, without what differs from run to run."""
    if "table" not in run.facts:
        return ()
    rows: list[dict[str, Any]] = pq.ParquetFile(run.facts["table"]["address"]).read().to_pylist()
    return tuple((row["id"], row["kind"], row["urgent"]) for row in rows)


def findings(seen: Evidence, truth: Truth | None) -> list[str]:
    """Everything that is not as promised. Without a truth, only what must hold in any weather."""
    found = list(seen.played.mishaps)
    if not seen.runs:
        return [*found, "the ledger knows of no run"]
    found += _paid(seen, truth)
    found += _published(seen, truth)
    found += _ledger(seen)
    found += _files(seen)
    if seen.played.scene.provider == "openai":
        found += _uploads(seen)
    return found


def _paid(seen: Evidence, truth: Truth | None) -> Iterator[str]:
    """Every batch that was made is owned by one shard, and every answer was billed once."""
    made = sorted(batch_id for batch_id, _ in seen.created)
    if made != sorted(seen.batch_ids):
        yield f"{len(made)} batches were made, but the ledger knows {len(seen.batch_ids)}: {made} {seen.batch_ids}"
    lost = sum(fault.loses for fault in seen.played.scene.weather.faults)
    answered = sum(shard.outcomes.get("answered", 0) for shard in seen.shards)
    if not answered <= seen.billed <= answered + lost:
        yield f"{seen.billed} requests were billed for {answered} answers ({lost} lost by the provider)"
    if answered != ROWS:
        yield f"{answered} answers were collected for {ROWS} rows"
    if truth is not None:
        mine, without_crash = seen.truth().numbers, truth.numbers
        if mine != without_crash:
            yield f"batches, requests and billed are {mine}, and {without_crash} when nobody dies"


def _published(seen: Evidence, truth: Truth | None) -> Iterator[str]:
    """The newest run is published, once, with every row."""
    last, scene = seen.runs[0], seen.played.scene
    if last.state is not RunState.PUBLISHED or last.facts.get("outcomes") != {"answered": ROWS}:
        yield f"run {last.run_id} is {last.state}, {last.facts.get('outcomes')}: {last.error}"
        return
    rows = answers_of(last)
    if [key for key, _, _ in rows] != [f"t{number:05d}" for number in range(ROWS)]:
        yield f"the table holds {rows}"
    if truth is not None and rows != truth.answers:
        yield f"the table holds {rows}, and {truth.answers} when nobody dies"
    if scene.weather.task == "run":
        for run in seen.runs[:-1]:  # two heirs: the later one may have found the run ended
            if run.facts.get("requests") != 0:
                yield f"edition {run.edition} asked {run.facts.get('requests')} requests again"
    table = seen.played.place.store / "tables" / "sorting"
    visible = sorted(
        path.name for path in table.rglob("*") if path.is_file() and not path.name.startswith(".")
    )
    if visible != ["_latest.json", "answers.parquet"]:
        yield f"the table's folder holds {visible}"
    elif json.loads((table / "_latest.json").read_text())["run_id"] not in {run.run_id for run in seen.runs}:
        yield "the table's pointer names another run"


def _ledger(seen: Evidence) -> Iterator[str]:
    """The ledger contradicts neither itself nor the provider."""
    ledger = Ledger(str(seen.played.place.ledger_url))
    try:
        for run in seen.runs:
            yield from _moves(run, ledger)
            shards = [shard for shard in seen.shards if shard.key.run_id == run.run_id]
            yield from _spends(run, shards, ledger)
    finally:
        ledger.close()
    used = tuple(
        sum(shard.usage.get(name, 0) for shard in seen.shards) for name in ("input_tokens", "output_tokens")
    )
    if used != seen.billed_tokens and not any(fault.loses for fault in seen.played.scene.weather.faults):
        yield f"the ledger counts {used} tokens in and out, the provider billed {seen.billed_tokens}"


def _moves(run: Run, ledger: Ledger) -> Iterator[str]:
    told = [event.what for event in ledger.events(run.run_id, limit=1000)]
    for move in ("run planning → running", "run publishing → published"):
        if run.state is RunState.PUBLISHED and told.count(move) != 1:
            yield f"run {run.run_id}: {told.count(move)} times {move!r}"
    for stage in ledger.stages(run.run_id):
        if stage.ended_at is None:
            yield f"run {run.run_id}: stage {stage.name} never ended"
    for batch in ledger.batches(run.run_id):
        if not batch.status.ended:
            yield f"batch {batch.batch_id} is {batch.status} in the ledger"


def _spends(run: Run, shards: list[Shard], ledger: Ledger) -> Iterator[str]:
    """Each shard is collected, and its spend is recorded once."""
    collected = [shard for shard in shards if shard.state is ShardState.COLLECTED]
    if run.state is RunState.PUBLISHED and len(collected) != len(shards):
        yield f"run {run.run_id} is published with shards {[(s.key, s.state) for s in shards]}"
    spends = ledger.spent(run_id=run.run_id)
    if sorted(spend.requests for spend in spends) != sorted(shard.request_count for shard in collected):
        yield f"run {run.run_id}: {len(collected)} shards are collected, but spent was {spends}"
    costs = sum((shard.cost_usd or Decimal(0) for shard in collected), Decimal(0))
    if sum((spend.cost_usd or Decimal(0) for spend in spends), Decimal(0)) != costs:
        yield f"run {run.run_id}: the spends do not sum up to the shards' costs, {costs}"


def _files(seen: Evidence) -> Iterator[str]:
    """What the ledger names is whole, and nothing else passes for it."""
    store = seen.played.place.store
    for shard in seen.shards:
        content = (store / shard.file).read_bytes()
        if (len(content), content.count(b"\n")) != (shard.size_bytes, shard.request_count):
            yield f"{shard.file} has {len(content)} bytes, and {shard.size_bytes} in the ledger"
        if shard.state is not ShardState.COLLECTED:
            continue
        results = pq.ParquetFile(store / shard.results).read(columns=["_fingerprint", "_outcome"])
        outcomes: dict[str, int] = {}
        for outcome in results.column("_outcome").to_pylist():
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if outcomes != dict(shard.outcomes) or results.num_rows != shard.request_count:
            yield f"{shard.results} holds {outcomes}, and the ledger says {dict(shard.outcomes)}"
    yield from _strays(seen, store)


def _strays(seen: Evidence, store: Path) -> Iterator[str]:
    """A results file that no shard names would be read as answers."""
    named = {shard.results for shard in seen.shards if shard.results}
    there = {
        path.relative_to(store).as_posix()
        for path in store.glob("runs/**/results/*.parquet")
        if not path.name.startswith(".")
    }
    if there != named:
        yield f"results files {sorted(there ^ named)} are in only one of store and ledger"


def _uploads(seen: Evidence) -> Iterator[str]:
    """Every uploaded file became a batch."""
    files = {item["id"] for item in _listed(seen, "files?purpose=batch&limit=10000")}
    used = {item["input_file_id"] for item in _listed(seen, "batches?limit=100")}
    if files - used:
        yield f"{len(files - used)} uploads were left behind at the provider"


def _listed(seen: Evidence, what: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"{seen.played.place.emulator.openai_url}/{what}", headers={"Authorization": "Bearer test-key"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]
        return found

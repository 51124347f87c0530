"""Collecting: an ended batch becomes a results file, its spend, and the next round's shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.canary import failed_alike
from offpeak.ledger.records import NewShard, Shard, ShardKey, Spend
from offpeak.providers.provider import Batch, Client, Provider
from offpeak.reconcile import reconcile
from offpeak.requests import FINGERPRINT_BYTES, custom_id, dump_line, read_custom_id
from offpeak.result_writer import ResultWriter
from offpeak.results import Answered, Origin, Tally
from offpeak.rounds import MORE_ROOM_FACTOR, Again, note
from offpeak.shards import Cut, estimated_tokens, lines_of, new_tag, shard_file
from offpeak.states import Route

if TYPE_CHECKING:
    from offpeak.site import Site
    from offpeak.workload import Workload


def collect(workload: Workload, site: Site, client: Client, shard: Shard, batch: Batch) -> Tally:
    """Read every result of `batch`, write them down, and open the next round for what is asked again.

    Nothing in the ledger changes until all of it is written; then everything does, once. A run that has
    ended (failed, refused, cancelled) opens no further round: nobody would send it, and what was answered
    is carried by the next run.
    """
    run = site.ledger.run(shard.key.run_id)
    folder = str(run.facts["folder"])
    tally = Tally()
    origin = Origin(
        run_id=run.run_id, round=shard.key.round, route=Route.BATCH, at=batch.ended_at or site.now()
    )
    results = f"{folder}/results/r{shard.key.round}-{shard.key.number:05d}.parquet"
    with site.store.reading(shard.file) as sent_file:
        with (
            site.store.writing(results) as path,
            ResultWriter(workload, path, tally, origin) as writer,
        ):
            sent = _sent(workload, sent_file, shard.tag)
            for found in reconcile(workload, client.lines(batch), sent, shard.tag, batch, tally):
                if isinstance(found, Answered):
                    writer.add_many(found)
                else:
                    writer.add(found)
        asked_again = tally.again and not site.ledger.run(run.run_id).state.ended
        following = _next_shard(workload, site, shard, sent_file, tally) if asked_again else None
    done = replace(
        shard,
        results=results,
        outcomes=dict(tally.outcomes),
        usage=dict(tally.usage),
        cost_usd=tally.cost_usd,
        note=_oddities(tally),
    )
    alike = failed_alike(tally, shard.request_count)
    if alike and shard.key.round == 1:  # before the shard counts as collected: the others wait for that
        site.ledger.note_run(run.run_id, {"stopped": f"Shard {shard.key.number}: {alike}"}, now=site.now())
    site.ledger.collect(done, _spend(workload, shard, tally, site), following, now=site.now())
    return tally


def _sent(workload: Workload, path: Path, tag: str) -> Iterator[str]:
    """The fingerprints in a shard file."""
    ours = b'{"custom_id":"%b-' % tag.encode()  # as every provider writes it; else the line is read whole
    end = len(ours) + 2 * FINGERPRINT_BYTES
    for line in lines_of(path):
        if line.startswith(ours) and line[end : end + 1] == b'"':
            yield line[len(ours) : end].decode()
            continue
        fingerprint = read_custom_id(workload.provider.custom_id(orjson.loads(line)), tag)
        assert fingerprint is not None, "a shard file holds only its own requests"
        yield fingerprint


def _next_shard(workload: Workload, site: Site, shard: Shard, sent_file: Path, tally: Tally) -> NewShard:
    """The requests to ask again, each in its way, as the same shard's next round."""
    tag, round_number = new_tag(), shard.key.round + 1
    folder = shard.file.rsplit("/shards/", 1)[0]
    name = shard_file(folder, round_number, shard.key.number, tag)
    count = size = 0
    with site.store.writing(name) as path, path.open("wb") as out:
        for line in _asked_again(workload, sent_file, shard.tag, tag, tally):
            out.write(line)
            count += 1
            size += len(line)
    return NewShard(
        key=ShardKey(run_id=shard.key.run_id, round=round_number, number=shard.key.number),
        tag=tag,
        file=name,
        request_count=count,
        size_bytes=size,
        estimated_tokens=estimated_tokens(size),
        provider=shard.provider,
        account=shard.account,
        model=shard.model,
        endpoint=shard.endpoint,
    )


def _asked_again(
    workload: Workload, sent_file: Path, old_tag: str, tag: str, tally: Tally
) -> Iterator[bytes]:
    provider = workload.provider
    # a shard that was full must not outgrow the provider's limit by its notes: they have the bytes that
    # were free, and those of the requests that are not asked again
    spare = Cut.of(provider.limits, 1).size_bytes - sent_file.stat().st_size
    for raw in lines_of(sent_file):
        line = orjson.loads(raw)
        fingerprint = read_custom_id(provider.custom_id(line), old_tag)
        spare += len(raw) + 1
        if fingerprint is None or fingerprint not in tally.again:
            continue
        line["custom_id"] = custom_id(tag, fingerprint)
        how, reason = tally.again[fingerprint]
        changed = dump_line(_changed(provider, line, how, reason))
        written = changed if len(changed) <= spare else dump_line(line)
        spare -= len(written)
        yield written


def _changed(provider: Provider, line: dict[str, Any], how: Again, reason: str) -> dict[str, Any]:
    if how is Again.MORE_ROOM:
        return provider.with_more_room(line, MORE_ROOM_FACTOR)
    if how is Again.WITH_NOTE:
        return provider.with_note(line, note(reason))
    return line


def _spend(workload: Workload, shard: Shard, tally: Tally, site: Site) -> Spend:
    return Spend(
        workload=workload.name,
        run_id=shard.key.run_id,
        at=site.now(),
        route=Route.BATCH,
        provider=shard.provider,
        account=shard.account,
        model=tally.model or shard.model,
        requests=shard.request_count,
        usage=dict(tally.usage),
        cost_usd=tally.cost_usd,
        realtime_usd=tally.realtime_usd,
    )


def _oddities(tally: Tally) -> str:
    """What a person should know about the result files, in words; empty when they were as they should be."""
    counts = (
        (tally.foreign, "foreign (of a request that was never sent)"),
        (tally.repeated, "repeated"),
        (tally.unreadable, "unreadable"),
    )
    said = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    return f"result lines left out: {said}" if said else ""

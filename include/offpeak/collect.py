"""Collecting: an ended batch, or recorded replies, become a results file, its spend, and the next round's shard."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.accept import accepted, rows_of
from offpeak.arrays import listed
from offpeak.canary import failed_alike
from offpeak.intents import asks_again, is_escalated
from offpeak.ledger.records import NewShard, Run, Shard, ShardKey, Spend
from offpeak.providers.provider import Batch, Client, Provider
from offpeak.realtime.segments import replies
from offpeak.reconcile import reconcile
from offpeak.replied import NOT_ASKED, replied
from offpeak.requests import custom_id, dump_line
from offpeak.result_writer import ResultWriter
from offpeak.results import Answered, Origin, Result, Tally
from offpeak.rounds import MORE_ROOM_FACTOR, Again, note
from offpeak.sent import Sent
from offpeak.shards import Cut, estimated_tokens, new_tag, shard_file
from offpeak.states import Route

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.site import Site
    from offpeak.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where the results of a shard come from, and which verb of the ledger ends it."""

    origin: Origin
    results: Callable[[pa.Array, Tally], Generator[Answered | Result, None, None]]
    """From the fingerprints that were sent, exactly one result for each."""
    end: Callable[[Shard, Spend, NewShard | None], bool]


def collect(workload: Workload, site: Site, client: Client, shard: Shard, batch: Batch) -> Tally:
    """Read every result of `batch`, write them down, and open the next round for what is asked again.

    Nothing in the ledger changes until all of it is written; then everything does, once. A run that has
    ended (failed, refused, cancelled) opens no further round: nobody would send it, and what was answered
    is carried by the next run. What a batch that was cancelled for realtime did not run has its next round
    there, whatever the limit of rounds: it was never asked.
    """
    run = site.ledger.run(shard.key.run_id)
    origin = Origin(
        run_id=run.run_id,
        round=shard.key.round,
        route=Route.BATCH,
        at=batch.ended_at or site.now(),
        escalated=is_escalated(run, shard.key.number),
    )
    source = _Source(
        origin=origin,
        results=lambda sent, tally: reconcile(workload, client.blocks(batch), sent, shard.tag, batch, tally),
        end=lambda done, spend, following: site.ledger.collect(done, spend, following, now=site.now()),
    )
    return _collect(workload, site, shard, source)


def collect_replies(workload: Workload, site: Site, held: Shard) -> Tally:
    """The same of a shard on the realtime route that this worker holds, from its recorded replies.

    A request without one ends as `cancelled`: it is only collected so once nobody is to ask any more.
    """
    source = _Source(
        origin=Origin(run_id=held.key.run_id, round=held.key.round, route=Route.REALTIME, at=site.now()),
        results=lambda sent, tally: replied(workload, replies(site, held), listed(sent), held.tag),
        end=lambda done, spend, following: site.ledger.realtime.collect(
            done, spend, following, now=site.now()
        ),
    )
    return _collect(workload, site, held, source)


def _collect(workload: Workload, site: Site, shard: Shard, source: _Source) -> Tally:
    folder = str(site.ledger.run(shard.key.run_id).facts["folder"])
    tally = Tally()
    results = f"{folder}/results/r{shard.key.round}-{shard.key.number:05d}.parquet"
    with Sent(store=site.store, file=shard.file, tag=shard.tag, provider=workload.provider) as sent:
        fingerprints = sent.fingerprints()
        with (
            site.store.writing(results) as path,
            ResultWriter(workload, path, tally, source.origin) as writer,
            # closed here and not by the garbage collector, which may run in the very thread that it would wait for
            closing(source.results(fingerprints, tally)) as asked,
        ):
            for found in accepted(
                workload, asked, lambda: rows_of(site.store, folder, workload, fingerprints)
            ):
                if isinstance(found, Answered):
                    writer.add_many(found)
                else:
                    writer.add(found)
        following = None
        if tally.again and asks_again(site.ledger.run(shard.key.run_id)):
            following = _next_shard(workload, site, shard, sent, tally)
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
        site.ledger.note_run(
            shard.key.run_id, {"stopped": f"Shard {shard.key.number}: {alike}"}, now=site.now()
        )
    source.end(done, _spend(workload, shard, tally, site, route=source.origin.route), following)
    return tally


def _next_shard(workload: Workload, site: Site, shard: Shard, sent: Sent, tally: Tally) -> NewShard:
    """The requests to ask again, each in its way, as the same shard's next round."""
    tag, round_number = new_tag(), shard.key.round + 1
    folder = shard.file.rsplit("/shards/", 1)[0]
    name = shard_file(folder, round_number, shard.key.number, tag)
    count = size = 0
    with site.store.writing(name) as path, path.open("wb") as out:
        for line in _asked_again(workload, sent, tag, tally):
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
        route=_route_of_next(site.ledger.run(shard.key.run_id), shard),
    )


def _route_of_next(run: Run, shard: Shard) -> Route:
    return Route.REALTIME if is_escalated(run, shard.key.number) else shard.route


def _asked_again(workload: Workload, sent: Sent, tag: str, tally: Tally) -> Iterator[bytes]:
    provider = workload.provider
    lines = list(sent.lines(tally.again.keys()))
    # a shard that was full must not outgrow the provider's limit by its notes: they have the bytes that
    # were free, and those of the requests that are not asked again
    spare = Cut.of(provider.limits, 1).size_bytes - sum(len(line.raw) + 1 for line in lines)
    for fingerprint, raw in lines:
        spare += len(raw) + 1
        line = orjson.loads(raw)
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


def _spend(workload: Workload, shard: Shard, tally: Tally, site: Site, *, route: Route) -> Spend:
    asked = shard.request_count
    if route is Route.REALTIME:  # a batch takes all of its requests, asking one by one may stop
        asked -= tally.codes[NOT_ASKED]
    return Spend(
        workload=workload.name,
        run_id=shard.key.run_id,
        at=site.now(),
        route=route,
        provider=shard.provider,
        account=shard.account,
        model=tally.model or shard.model,
        requests=asked,
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

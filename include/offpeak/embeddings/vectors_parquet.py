"""Vectors as Parquet files: one file for each version, and a pointer that says which of them readers see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from offpeak.embeddings.nearest import nearest_rows
from offpeak.embeddings.versions import (
    FIRST,
    KEEP,
    Hit,
    Version,
    as_published,
    checked,
    found,
    outdated,
    reader_after,
    refuse_strangers,
    seen_by_readers,
)
from offpeak.errors import TableError
from offpeak.store import Store
from offpeak.tables.columns import carried_schema, rows_per_batch, without_login, write_rows
from offpeak.tables.engine import engine
from offpeak.tables.merge import require_whole
from offpeak.tables.parquet import OpenParquet, ParquetTable, _Record, parquet_table
from offpeak.tables.table import Layout, Published, Staged

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.connections import Connections

POINTER = "_current.json"
KNOWN_RUNS = 200
"""So many published runs are remembered, so that publishing one of them again changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetVectors:
    """`<address>/version=<version>/<interval>-<run>.parquet`, and `<address>/_current.json` that names the one
    to read."""

    address: str
    version: str = FIRST
    keep: int = KEEP

    def describe(self) -> str:
        return f"Parquet vectors in {without_login(self.address)}"

    def problems(self, layout_types: dict[str, str]) -> list[str]:
        return ParquetTable(address=self.address).problems(layout_types)

    def of_version(self, version: str) -> ParquetVectors:
        return replace(self, version=version)

    def open(self, store: Store, connections: Connections) -> OpenParquetVectors:
        folder = Store(store.expand(self.address))
        return OpenParquetVectors(folder=folder, version=self.version, keep=self.keep)


def parquet_vectors(address: str, *, keep: int = KEEP) -> ParquetVectors:
    """A folder of vectors; `{store}` stands for the store's root, `keep` is the number of versions that are kept.
    SpecError when it is no folder."""
    checked(FIRST, keep)
    return ParquetVectors(address=parquet_table(address).address, keep=keep)


class _Pointer(NamedTuple):
    """What the pointer file says."""

    versions: tuple[Version, ...] = ()
    files: dict[str, str] = {}  # noqa: RUF012  (never changed: a new one is made)
    """By version: its file in the folder."""
    runs: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    """By run: what its publish said."""
    replaced: tuple[str, ...] = ()
    """Files that the last publish replaced: a reader may still be in one. The next publish removes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenParquetVectors(OpenParquet):
    """The pointer is replaced whole, and nothing that it names is ever changed: readers see one publish or the
    other. Two publishes at the same moment leave the pointer of the later one."""

    version: str = FIRST
    keep: int = KEEP

    def answered(self, wanted: Path, layout: Layout, into: Path) -> int:
        schema = carried_schema(layout)
        with self._told("could not be read"):
            names = self._that_answer(self._pointer().files.values(), schema)
            with engine() as connection:
                self._reach(connection)
                return write_rows(self._latest(connection, names, wanted, schema), schema, into)

    def publish(self, staged: Staged) -> Published:
        require_whole(staged)
        with self._told("could not be published; readers keep what they had"):
            pointer = self._pointer()
            refuse_strangers(pointer.versions, staged.workload, without_login(self.folder.root))
            if known := pointer.runs.get(staged.run_id):
                return _published(known)
            # a name of its own for every run: the file that readers are in is never replaced
            run = hashlib.blake2b(staged.run_id.encode(), digest_size=4).hexdigest()
            name = f"version={self.version}/{staged.interval_key}-{run}.parquet"
            record = self._replace(name, self._last_record(), staged)
            self._point_at(pointer, record)
            return self._published(record)

    def last(self, workload: str) -> Published | None:
        with self._told("could not be read"):
            pointer = self._pointer()
            seen = seen_by_readers(pointer.versions)
            if seen is None or seen.workload != workload:
                return None
            return as_published(seen, self.folder.address(pointer.files[seen.name]))

    def head(self, count: int) -> pa.Table:
        seen = seen_by_readers(self.versions())
        return OpenParquet.head(replace(self, version=seen.name) if seen else self, count)

    # -- versions
    def versions(self) -> Sequence[Version]:
        with self._told("could not be read"):
            return self._pointer().versions

    def use(self, version: str | None) -> Version:
        with self._told("could not be changed"):
            pointer = self._pointer()
            place = without_login(self.folder.root)
            wanted = (
                found(pointer.versions, version, place) if version else next(iter(pointer.versions), None)
            )
            chosen = wanted or found(pointer.versions, version, place)
            made = tuple(
                replace(one, current=one.name == chosen.name, pinned=bool(version) and one.name == version)
                for one in pointer.versions
            )
            self._write(pointer._replace(versions=made))
            return found(made, chosen.name, place)

    def scan(self, columns: Sequence[str], version: str | None = None) -> Iterator[pa.RecordBatch]:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        pointer = self._pointer()
        if not pointer.versions:
            return
        chosen = found(pointer.versions, version, without_login(self.folder.root))
        with self._told("could not be read"), self._opened(pointer.files[chosen.name]) as file:
            reader = pq.ParquetFile(file)
            size = rows_per_batch(reader.schema_arrow)
            for batch in reader.iter_batches(size, columns=[*dict.fromkeys([*columns, "_outcome"])]):
                yield batch.filter(pc.equal(batch.column("_outcome"), "answered")).select(list(columns))

    def nearest(
        self, question: Sequence[float], *, top: int, columns: Sequence[str], version: str | None = None
    ) -> Sequence[Hit]:
        pointer = self._pointer()
        chosen = found(pointer.versions, version, without_login(self.folder.root))
        address = self._address(pointer.files[chosen.name])
        with self._told("could not be searched"), engine() as connection:
            self._reach(connection)
            return nearest_rows(
                connection, "read_parquet($1)", question, top=top, columns=columns, file=address
            )

    # -- the pointer
    def _last_record(self) -> _Record | None:
        """Of this version: what the base compares a publish with."""
        name = self._pointer().files.get(self.version)
        return self._record(name) if name else None

    def _point_at(self, pointer: _Pointer, record: _Record) -> None:
        others = [one for one in pointer.versions if one.name != self.version]
        reader = reader_after(pointer.versions, self.version)
        mine = Version(
            name=self.version,
            workload=record.workload,
            run_id=record.run_id,
            published_at=record.published_at,
            row_count=record.row_count,
            key=record.key,
            pinned=any(one.pinned and one.name == self.version for one in pointer.versions),
        )
        made = [replace(one, current=one.name == reader) for one in (mine, *others)]
        gone = outdated(made, self.keep)
        files = {**pointer.files, self.version: record.name}
        kept = {name: file for name, file in files.items() if name not in gone}
        replaced = tuple(sorted(set(pointer.files.values()) - set(kept.values())))
        said = {"version": self.version, **_facts(mine), "address": self.folder.address(record.name)}
        runs = dict([*pointer.runs.items(), (record.run_id, said)][-KNOWN_RUNS:])
        self._write(_Pointer(tuple(one for one in made if one.name not in gone), kept, runs, replaced))
        for name in set(pointer.replaced) - set(kept.values()):
            self.folder.delete(name)

    def _pointer(self) -> _Pointer:
        if not self.folder.exists(POINTER):
            return _Pointer()
        try:
            said = json.loads(self.folder.read_bytes(POINTER))
            versions = tuple(
                Version(
                    **{
                        **{name: value for name, value in one.items() if name != "file"},
                        "published_at": datetime.fromisoformat(one["published_at"]),
                        "current": one["name"] == said["current"],
                        "pinned": one["name"] == said["current"] and said["pinned"],
                    }
                )
                for one in said["versions"]
            )
            files = {one["name"]: one["file"] for one in said["versions"]}
            return _Pointer(versions, files, said["runs"], tuple(said["replaced"]))
        except (ValueError, KeyError, TypeError) as error:
            raise TableError(
                f"{without_login(self.folder.address(POINTER))} cannot be read ({error!r}), so it is not known "
                "which vectors readers see. Nothing was changed. Restore the file from a backup, or move the "
                "folder away: the next run then embeds everything again."
            ) from None

    def _write(self, pointer: _Pointer) -> None:
        seen = seen_by_readers(pointer.versions)
        text = {
            "current": seen.name if seen else None,
            "pinned": bool(seen and seen.pinned),
            "file": pointer.files[seen.name] if seen else None,
            "versions": [
                {"name": one.name, "file": pointer.files[one.name], **_facts(one)} for one in pointer.versions
            ],
            "replaced": list(pointer.replaced),
            "runs": pointer.runs,
        }
        self.folder.write_bytes(POINTER, (json.dumps(text, indent=2) + "\n").encode())


def _facts(version: Version) -> dict[str, Any]:
    return {
        "workload": version.workload,
        "run_id": version.run_id,
        "published_at": version.published_at.isoformat(),
        "row_count": version.row_count,
        "key": version.key,
    }


def _published(said: dict[str, Any]) -> Published:
    return Published(
        address=said["address"],
        run_id=said["run_id"],
        published_at=datetime.fromisoformat(said["published_at"]),
        row_count=said["row_count"],
    )

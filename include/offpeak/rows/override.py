"""The rows of a file that somebody names on the command line instead of the workload's own source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from offpeak.errors import SpecError
from offpeak.rows.csv import csv
from offpeak.rows.jsonl import jsonl
from offpeak.rows.parquet import parquet
from offpeak.rows.source import RowSource


def from_file(path: str, key: str) -> RowSource:
    """The source for `path` by the ending of its name; text files may be gzipped (`.csv.gz`).

    SpecError for an ending that says nothing, with the ones that do.
    """
    endings: dict[str, Callable[[], RowSource]] = {
        ".parquet": lambda: parquet(path, key=key),
        ".csv": lambda: csv(path, key=key),
        ".tsv": lambda: csv(path, key=key, delimiter="\t"),
        ".jsonl": lambda: jsonl(path, key=key),
        ".ndjson": lambda: jsonl(path, key=key),
        ".json": lambda: jsonl(path, key=key),
    }
    name = PurePath(path).name.lower()
    ending = PurePath(name.removesuffix(".gz")).suffix
    if ending not in endings or (ending == ".parquet" and name.endswith(".gz")):
        known = ", ".join(endings)
        raise SpecError(
            f"The kind of {path!r} cannot be told from its name. Files ending in {known} are read "
            "(text also with .gz). Rename the file, or convert it."
        )
    return endings[ending]()

"""The contenders: one file each, run in a process of its own. `PARTS` is the table of their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to do a part's work. `module` has `prepare`, `run` and `outcome`; see `Work`."""

    name: str
    """In the table."""
    module: str
    variant: str = ""
    """What the module is told, where it serves several contenders."""
    most_rows: int | None = None
    """Beyond this it is left out: it would take hours, or more memory than there is."""


OURS = "offpeak"
_LARGE = 1_000_000

PARTS: Mapping[str, tuple[Contender, ...]] = {
    "build": (
        Contender(name=OURS, module="build_offpeak"),
        Contender(name="common-ai", module="build_common_ai", most_rows=_LARGE),
        Contender(name="pandas + json", module="build_pandas", most_rows=_LARGE),
        Contender(name="DuckDB's JSON writer", module="build_duckdb"),
        Contender(name="plain write", module="build_plain"),
    ),
    "chat": (
        Contender(name=OURS, module="collect_offpeak", variant="chat"),
        Contender(name="offpeak, collect only", module="collect_offpeak", variant="chat-alone"),
        Contender(name="common-ai", module="collect_common_ai", variant="chat", most_rows=_LARGE),
        Contender(name="pandas + json", module="collect_pandas", variant="chat", most_rows=_LARGE),
        Contender(name="DuckDB read_json", module="collect_duckdb", variant="chat"),
        Contender(name="plain read", module="collect_plain", variant="chat"),
    ),
    "anthropic": (
        Contender(name=OURS, module="collect_offpeak", variant="anthropic"),
        Contender(name="offpeak, collect only", module="collect_offpeak", variant="anthropic-alone"),
        Contender(name="common-ai", module="collect_common_ai", variant="anthropic", most_rows=_LARGE),
        Contender(name="pandas + json", module="collect_pandas", variant="anthropic", most_rows=_LARGE),
        Contender(name="DuckDB read_json", module="collect_duckdb", variant="anthropic"),
        Contender(name="plain read", module="collect_plain", variant="anthropic"),
    ),
    "floats": (
        Contender(name=OURS, module="collect_offpeak", variant="floats"),
        Contender(name="offpeak, collect only", module="collect_offpeak", variant="floats-alone"),
        Contender(name="json + numpy", module="vectors_numpy", variant="floats"),
        Contender(name="plain read", module="collect_plain", variant="floats"),
    ),
    "base64": (
        Contender(name=OURS, module="collect_offpeak", variant="base64"),
        Contender(name="offpeak, collect only", module="collect_offpeak", variant="base64-alone"),
        Contender(name="json + numpy", module="vectors_numpy", variant="base64"),
        Contender(name="plain read", module="collect_plain", variant="base64"),
    ),
    "polling": (
        Contender(name=OURS, module="polling", variant="offpeak"),
        Contender(name="the SDK's async client", module="polling", variant="sdk"),
        Contender(name="common-ai", module="polling", variant="common-ai"),
    ),
    "startup": (
        Contender(name=OURS, module="startup", variant="help"),
        Contender(name="python -c 'import offpeak'", module="startup", variant="import"),
        Contender(name="python -c pass", module="startup", variant="python"),
        Contender(name="a DAG file, parsed", module="startup", variant="dag"),
        Contender(name="a DAG file with common-ai, parsed", module="startup", variant="common-ai-dag"),
    ),
    "whole": (Contender(name=OURS, module="whole", most_rows=_LARGE),),  # the emulator takes its time
    "airflow": (Contender(name=OURS, module="on_airflow"),),
}
"""By part: its contenders, ours first."""


def contenders(part: str, rows: int) -> list[Contender]:
    """Those that can do so many rows."""
    return [one for one in PARTS[part] if one.most_rows is None or rows <= one.most_rows]


ONCE = ("polling", "startup", "airflow")
"""Parts that do not depend on the number of rows: measured once, whatever the sizes."""
BY_WISH = ("airflow",)
"""Parts that run only when they are named."""

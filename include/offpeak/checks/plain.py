"""Values as JSON can hold them and as a sentence can quote them. Model output is data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

MAX_TEXT = 200
MAX_ITEMS = 50


def jsonable(value: Any, *, whole: bool = False) -> Any:
    """`value` as plain JSON. Unless `whole`, long text and long lists are cut, and say so."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return (
            str(value)
            if whole or len(value) <= MAX_TEXT
            else f"{value[:MAX_TEXT]}… ({len(value):,} characters)"
        )
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item, whole=whole) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        kept = items if whole else items[:MAX_ITEMS]
        cut = [f"… ({len(items):,} values)"] if len(kept) < len(items) else []
        return [jsonable(item, whole=whole) for item in kept] + cut
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    item = getattr(value, "item", None)  # numpy's scalars
    return jsonable(item(), whole=whole) if callable(item) else jsonable(str(value), whole=whole)


def quoted(value: Any) -> str:
    """`value` for a sentence: text in quotes with control characters escaped, at most 80 characters."""
    text = json.dumps(jsonable(value), ensure_ascii=False)
    text = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
    return text if len(text) <= 80 else f"{text[:79]}…"


def bare(value: Any) -> str:
    """`value` for a list within a sentence: words without quotes, numbers with thousands separators."""
    if isinstance(value, str) and value.replace("_", "").replace("-", "").isalnum():
        return value if len(value) <= 80 else f"{value[:79]}…"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else quoted(value)


def percent(share: float) -> str:
    """`share` (0 to 1) as a percentage that is never rounded to 0 % or 100 % unless it is that."""
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.0001:
        return "less than 0.01 %"
    if share > 0.9999:
        return "more than 99.99 %"
    number = f"{share * 100:.2f}".rstrip("0").rstrip(".")
    return f"{number} %"

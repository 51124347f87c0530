"""pandas and json, as a careful user writes it: rows in a frame, a dict per row, files of 50,000 lines."""

from __future__ import annotations

import json

from tests.bench import runs
from tests.bench.sent import requests_in
from tests.bench.tickets import SYSTEM, Ticket, user_text
from tests.bench.work import Outcome, Place

FILE_REQUESTS = 50_000


def prepare(place: Place) -> None:
    import pandas as pd  # noqa: F401
    import pyarrow.parquet  # noqa: F401


def run(place: Place) -> None:
    import pandas as pd

    rows = pd.read_parquet(runs.rows_of(place.data))
    schema = Ticket.model_json_schema()
    schema["additionalProperties"] = False
    form = {"type": "json_schema", "json_schema": {"name": "Ticket", "schema": schema, "strict": True}}
    for number, start in enumerate(range(0, len(rows), FILE_REQUESTS)):
        part = rows.iloc[start : start + FILE_REQUESTS]
        with (place.out / f"{number:05d}.jsonl").open("w", encoding="utf-8") as file:
            for row in part.itertuples(index=False):
                line = {
                    "custom_id": row.ticket_id,
                    "method": "POST",
                    "url": "/v1/chat/completions",
                    "body": {
                        "model": "gpt-5-mini",
                        "messages": [
                            {"role": "system", "content": SYSTEM},
                            {"role": "user", "content": user_text(str(row.channel), str(row.text))},
                        ],
                        "max_completion_tokens": 4096,
                        "response_format": form,
                    },
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def outcome(place: Place) -> Outcome | None:
    return requests_in(place.out.glob("*.jsonl"))

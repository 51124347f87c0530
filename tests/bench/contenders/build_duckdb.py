"""DuckDB's own JSON writer: COPY of a struct, one file."""

from __future__ import annotations

import json

from tests.bench import runs
from tests.bench.sent import requests_in
from tests.bench.tickets import SYSTEM, Ticket
from tests.bench.work import Outcome, Place


def prepare(place: Place) -> None:
    import duckdb  # noqa: F401


def run(place: Place) -> None:
    import duckdb

    schema = Ticket.model_json_schema()
    schema["additionalProperties"] = False
    form = {"type": "json_schema", "json_schema": {"name": "Ticket", "schema": schema, "strict": True}}
    source, target = (_literal(str(path)) for path in (runs.rows_of(place.data), place.out / "all.jsonl"))
    body = f"""{{
        'model': 'gpt-5-mini',
        'messages': [
            {{'role': 'system', 'content': {_literal(SYSTEM)}}},
            {{'role': 'user', 'content': 'Channel: ' || channel || chr(10) || chr(10) || text}}
        ],
        'max_completion_tokens': 4096,
        'response_format': {_literal(json.dumps(form))}::JSON
    }}"""
    with duckdb.connect() as sql:
        sql.execute(
            f"""COPY (SELECT ticket_id AS custom_id, 'POST' AS method, '/v1/chat/completions' AS url,
                             {body} AS body
                      FROM read_parquet({source}))
                TO {target} (FORMAT json)"""
        )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def outcome(place: Place) -> Outcome | None:
    return requests_in(place.out.glob("*.jsonl"))

"""DuckDB: read_json with the columns that are needed, the answer parsed and checked in SQL, joined, COPY."""

from __future__ import annotations

from tests.bench.answered import tickets_in
from tests.bench.tickets import INTENTS
from tests.bench.work import Outcome, Place

_CHAT = """
    SELECT custom_id, response.body.model AS model,
           response.body.usage.prompt_tokens AS input_tokens,
           response.body.usage.completion_tokens AS output_tokens,
           CASE WHEN response.status_code = 200 AND response.body.choices[1].finish_reason = 'stop'
                THEN response.body.choices[1].message.content END AS content
    FROM read_json('{files}', format = 'newline_delimited', columns = {{
        custom_id: 'VARCHAR',
        response: 'STRUCT(status_code INT, body STRUCT(model VARCHAR,
            choices STRUCT(message STRUCT(content VARCHAR), finish_reason VARCHAR)[],
            usage STRUCT(prompt_tokens BIGINT, completion_tokens BIGINT)))'
    }})"""
_ANTHROPIC = """
    SELECT custom_id, result.message.model AS model,
           result.message.usage.input_tokens AS input_tokens,
           result.message.usage.output_tokens AS output_tokens,
           CASE WHEN result.type = 'succeeded' AND result.message.stop_reason = 'end_turn'
                THEN result.message.content[1].text END AS content
    FROM read_json('{files}', format = 'newline_delimited', columns = {{
        custom_id: 'VARCHAR',
        result: 'STRUCT("type" VARCHAR, message STRUCT(model VARCHAR, stop_reason VARCHAR,
            content STRUCT("text" VARCHAR)[],
            usage STRUCT(input_tokens BIGINT, output_tokens BIGINT)))'
    }})"""


def prepare(place: Place) -> None:
    import duckdb  # noqa: F401


def run(place: Place) -> None:
    import duckdb

    read = _ANTHROPIC if place.variant == "anthropic" else _CHAT
    intents = ", ".join(f"'{name}'" for name in INTENTS)
    form = '\'{"intent": "VARCHAR", "urgency": "BIGINT", "summary": "VARCHAR", "tags": ["VARCHAR"]}\''
    with duckdb.connect() as sql:
        sql.execute(
            f"""COPY (
                  WITH lines AS ({read.format(files=place.data / "results" / "*.jsonl")}),
                       parsed AS (SELECT * EXCLUDE content,
                                         CASE WHEN json_valid(content)
                                              THEN from_json(content, {form}) END AS answer
                                  FROM lines),
                       judged AS (SELECT * REPLACE (
                                         CASE WHEN answer.intent IN ({intents})
                                                   AND answer.urgency BETWEEN 1 AND 5
                                                   AND answer.summary IS NOT NULL AND answer.tags IS NOT NULL
                                              THEN answer END AS answer)
                                  FROM parsed)
                  SELECT r.ticket_id, answer.intent, answer.urgency, answer.summary, answer.tags,
                         model, input_tokens, output_tokens,
                         CASE WHEN answer IS NULL THEN 'failed' ELSE 'answered' END AS outcome
                  FROM read_parquet('{place.data / "requests.parquet"}') r LEFT JOIN judged USING (custom_id)
                ) TO '{place.out / "answers.parquet"}' (FORMAT parquet)"""
        )


def outcome(place: Place) -> Outcome | None:
    return tickets_in([place.out / "answers.parquet"])

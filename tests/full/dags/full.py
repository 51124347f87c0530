"""The four workloads at the full size of the data sets, each on several nights."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.digest import Digest
from offpeak.embeddings import Chunking, Embeddings, parquet_vectors
from offpeak.evals import Candidate, EvalSuite, Gate, exact, numeric
from offpeak.on_airflow import workload_dag


class Urgency(BaseModel):
    urgency: Literal["low", "normal", "high"]
    about: str


class Solved(BaseModel):
    answer: str


triage = workload_dag(
    Workload(
        name="full_triage",
        rows=parquet("{store}/full/tickets.parquet", key="ticket_id"),
        prompt=Prompt(system="You sort a bank's tickets.", user="{{ row.text }}"),
        answer=Urgency,
        model="openai:gpt-5-mini",
        into=parquet_table("{store}/tables/full_triage"),
        shard_requests=2_500,
    )
)
embeddings = workload_dag(
    Embeddings(
        name="full_embeddings",
        corpus=parquet("{store}/full/docs.parquet", key="doc_path"),
        text="text",
        title="title",
        chunking=Chunking(format="markdown", max_tokens=400),
        model="openai:text-embedding-3-small",
        dimensions=1_536,
        into=parquet_vectors("{store}/tables/full_embeddings"),
    )
)
commits = workload_dag(
    Digest(
        name="full_commits",
        items=parquet("{store}/full/commits.parquet", key="commit"),
        text="said",
        time="committed_at",
        about="the commits of one day to a data library",
        model="openai:gpt-5-mini",
        into=parquet_table("{store}/tables/full_commits"),
    ),
    schedule="@daily",
    end_date=datetime(2026, 3, 17, tzinfo=UTC),  # its nights are filled by a backfill,
)
meetings = workload_dag(
    Digest(
        name="full_meetings",
        items=parquet("{store}/full/meetings.parquet", key="meeting_id"),
        text="transcript",
        group="meeting",
        about="the transcript of one meeting about a product",
        model="openai:gpt-5-mini",
        window_tokens=4_000,
        into=parquet_table("{store}/tables/full_meetings"),
    )
)
ask = Prompt(system="Answer with the result only.", user="{{ row.question }}")
evals = workload_dag(
    EvalSuite(
        name="full_evals",
        cases=parquet("{store}/full/cases.parquet", key="item_id"),
        candidates=[
            Candidate("mini", model="openai:gpt-5-mini", prompt=ask, answer=Solved),
            Candidate("nano", model="openai:gpt-5-nano", prompt=ask, answer=Solved),
        ],
        scorers=[
            exact("answer", against="target", name="exact"),
            numeric("answer", against="target", name="number"),
        ],
        slices=["task"],
        gate=Gate(metric="exact"),
        stability=200,
        into=parquet_table("{store}/tables/full_evals"),
    )
)

"""Every week: would the help desk's tickets be sorted as well by a cheaper model, or with a longer prompt?"""

from typing import Literal

from pydantic import BaseModel

from offpeak import Prompt, parquet, parquet_table
from offpeak.evals import Candidate, EvalSuite, Gate, exact, json_fields
from offpeak.on_airflow import workload_dag

Intent = Literal[
    "card_lost", "card_payment", "cash_withdrawal", "exchange_rate", "refund", "top_up", "transfer", "other"
]


class Triage(BaseModel):
    intent: Intent
    urgency: Literal["low", "normal", "high"]


ask = Prompt(system="You sort tickets of a bank's help desk.", user="{{ row.text }}")
longer = Prompt(system=f"{ask.system} Judge only by what the customer writes.", user=ask.user)
suite = EvalSuite(
    name="eval_suite",
    cases=parquet("{store}/evals/cases.parquet", key="case_id"),
    candidates=[
        Candidate("mini", model="openai:gpt-5-mini", prompt=ask, answer=Triage),
        Candidate("nano", model="openai:gpt-5-nano", prompt=ask, answer=Triage),
        Candidate("mini_longer", model="openai:gpt-5-mini", prompt=longer, answer=Triage),
    ],
    scorers=[exact("intent"), exact("urgency"), json_fields(["intent", "urgency"], name="both")],
    slices=["intent", "urgency"],
    gate=Gate(metric="intent", max_drop=0.01),
    stability=50,
    into=parquet_table("{store}/tables/eval_suite"),
)
dag = workload_dag(suite, schedule="@weekly")

"""How long a process takes before it begins: a command line, an import, a DAG file as Airflow parses it."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

from tests.bench.work import Outcome, Place

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = {
    "python": (sys.executable, "-c", "pass"),
    "import": (sys.executable, "-c", "import offpeak"),
    "help": (str(Path(sys.executable).with_name("offpeak")), "--help"),
}
"""Processes; the other variants are DAG files."""
COMMON_AI_DAG = """
from airflow.sdk import dag, task
from pydantic import BaseModel
from airflow.providers.common.ai.operators.llm_batch import LLMBatchOperator

class Answer(BaseModel):
    intent: str

@dag(schedule="@hourly")
def triage():
    LLMBatchOperator(task_id="ask", requests=["a"], result_path="file:///nowhere", llm_conn_id="bench",
                     model_id="openai:gpt-5-mini", output_type=Answer)

triage()
"""


def prepare(place: Place) -> None:
    """For a DAG file: what Airflow's own parser has imported before it forks."""
    if place.variant not in COMMANDS:
        import airflow.dag_processing.processor
        import airflow.sdk  # noqa: F401

        (place.out / "common_ai.py").write_text(COMMON_AI_DAG)


def run(place: Place) -> None:
    if place.variant in COMMANDS:
        subprocess.run(COMMANDS[place.variant], check=True, stdout=subprocess.DEVNULL)
        return
    files = {"dag": ROOT / "dags" / "ticket_triage.py", "common-ai-dag": place.out / "common_ai.py"}
    child = os.fork()  # as the DAG processor does for each file
    if not child:
        runpy.run_path(str(files[place.variant]))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the DAG file could not be parsed"


def outcome(place: Place) -> Outcome | None:
    return None

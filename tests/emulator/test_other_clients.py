"""Another team's batch client, Airflow's LLMBatchOperator, runs against the emulator unmodified."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from offpeak.emulator import Control, Emulator
from tests.emulator.making import KEY

PROMPTS = ["I lost my card yesterday.", "Please refund my order.", "Where is my parcel?"]
CONNECTION = "emulated"
MODELS = ["openai:gpt-4.1-mini", "anthropic:claude-haiku-5-5"]


class Ticket(BaseModel):
    topic: str
    urgent: bool


@pytest.fixture(scope="module", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if "AIRFLOW_HOME" not in os.environ:
            patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[Emulator, str], None]:
    """Points the Airflow connection at an emulator."""

    def connect(emulator: Emulator, model: str) -> None:
        url = emulator.openai_url if model.startswith("openai") else emulator.anthropic_url
        connection = {"conn_type": "pydanticai", "host": url, "password": KEY}
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(connection))

    return connect


def operator(model: str, folder: Path, **options: Any) -> Any:
    from airflow.providers.common.ai.operators.llm_batch import LLMBatchOperator

    settings: dict[str, Any] = {"deferrable": False, "poll_interval": 30, **options}
    return LLMBatchOperator(
        task_id="answer",
        requests=PROMPTS,
        result_path=folder.as_uri(),
        llm_conn_id=CONNECTION,
        model_id=model,
        **settings,
    )


def context() -> Any:
    pushed: dict[str, Any] = {}
    instance = SimpleNamespace(
        dag_id="other", task_id="answer", run_id="r1", map_index=-1, try_number=1,
        xcom_push=lambda key, value: pushed.update({key: value}),
    )  # fmt: skip
    return {"task_instance": instance, "ti": instance, "pushed": pushed}


def rows(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    path = Path(manifest["result_uri"].removeprefix("file://"))
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


@pytest.mark.parametrize("model", MODELS)
def test_a_waiting_operator_lands_every_row(
    tmp_path: Path, connect: Callable[[Emulator, str], None], model: str
) -> None:
    # At this speed a batch is done by the first poll, and the operator never sleeps.
    with Emulator(speed=50_000) as emulator:
        connect(emulator, model)
        manifest = operator(model, tmp_path, output_type=Ticket).execute(context())
        assert manifest["counts"]["succeeded"] == len(PROMPTS)
        assert len(rows(manifest)) == len(PROMPTS)
        assert len(emulator.control.creates()) == 1


@pytest.mark.parametrize("model", MODELS)
def test_a_deferred_operator_resumes_when_its_trigger_fires(
    emulator: Emulator, control: Control, tmp_path: Path, connect: Callable[[Emulator, str], None], model: str
) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    connect(emulator, model)
    task = operator(model, tmp_path, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())
    control.advance(11)
    event = asyncio.run(_first_event(deferred.value.trigger))
    manifest = operator(model, tmp_path, deferrable=True).execute_complete(context(), event.payload)
    assert manifest["counts"]["succeeded"] == len(PROMPTS)
    assert control.state().billed[model.split(":")[0]].requests == len(PROMPTS)


async def _first_event(trigger: Any) -> Any:
    async for event in trigger.run():
        return event
    return None


def test_a_batch_whose_create_was_lost_is_found_again_by_the_operators_own_lookup(
    tmp_path: Path, connect: Callable[[Emulator, str], None]
) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    # The lookup compares with the time of day, so this clock starts at the present.
    with Emulator(frozen=True) as emulator:
        connect(emulator, MODELS[0])
        emulator.control.add_fault("lost_response", times=-1)
        with pytest.raises(Exception, match="Connection error"):
            operator(MODELS[0], tmp_path, deferrable=True).execute(context())
        emulator.control.clear_faults()
        before = len(emulator.control.creates())
        emulator.control.advance(1)
        with pytest.raises(TaskDeferred):
            operator(MODELS[0], tmp_path, deferrable=True).execute(context())
        assert len(emulator.control.creates()) == before

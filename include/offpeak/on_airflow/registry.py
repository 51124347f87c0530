"""Workloads by name, within one process.

Tasks name their workload instead of carrying it: Airflow stores the arguments of mapped tasks, and
prompts are not Airflow's to store. The worker parses the DAG file before it runs a task, which fills this.
"""

from __future__ import annotations

from typing import Any

from offpeak.errors import SpecError
from offpeak.pipeline import Pipeline
from offpeak.spec import spec_of
from offpeak.workload import Workload

_WORKLOADS: dict[str, Workload] = {}
_PIPELINES: dict[str, Pipeline] = {}


def register(workload: Workload) -> None:
    """Make `workload` known. SpecError when another one has its name."""
    known = _WORKLOADS.get(workload.name)
    # a file that is parsed twice makes new objects; what they say tells whether they are the same workload
    if known is not None and _said(known) != _said(workload):
        raise SpecError(f"There are two different workloads named {workload.name!r}; rename one.")
    _WORKLOADS[workload.name] = workload


def register_pipeline(pipeline: Pipeline) -> None:
    """Make `pipeline` and its stages known. SpecError when another workload has a stage's name."""
    for stage in pipeline.stages():
        register(stage)
    _PIPELINES[pipeline.name] = pipeline


def registered_pipeline(name: str) -> Pipeline:
    """The pipeline of that name; SpecError when its DAG file has not been parsed in this process."""
    if name not in _PIPELINES:
        raise SpecError(
            f"The pipeline {name!r} is not known here. Its DAG file must define it whenever it is parsed, "
            "outside of any condition."
        )
    return _PIPELINES[name]


def _said(workload: Workload) -> dict[str, Any]:
    return spec_of(workload, limit=None, again=False)


def registered(name: str) -> Workload:
    """The workload of that name; SpecError when its DAG file has not been parsed in this process."""
    if name not in _WORKLOADS:
        raise SpecError(
            f"The workload {name!r} is not known here. Its DAG file must define it whenever it is parsed, "
            "outside of any condition."
        )
    return _WORKLOADS[name]

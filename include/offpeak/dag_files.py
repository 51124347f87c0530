"""DAG files read for their workloads only: the CLI needs no Airflow for it."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from offpeak.errors import SpecError
from offpeak.pipeline import Pipelined
from offpeak.workload import Workload

only_workloads: ContextVar[bool] = ContextVar("only_workloads", default=False)
"""Set while a DAG file is read for its workloads: `workload_dag` then makes no DAG."""


def load_spec(reference: str) -> Workload | Pipelined:
    """What `offpeak run` carries out: the one pipeline of a DAG file, by `FILE` or `FILE:NAME`, else a workload."""
    path, name = _split(reference)
    found = {id(value): value for value in _values(path, Pipelined).values()}
    named = [value for value in found.values() if name in (None, value.name)]
    # a stage may have its pipeline's name: the pipeline is meant
    return named[0] if len(named) == 1 else load(reference)


def load(reference: str) -> Workload:
    """The workload named by `FILE` or `FILE:NAME`. SpecError says which there are when it is not clear.

    NAME is the workload's own name or the variable that holds it. The file's folder is importable
    while it runs, as it is on Airflow.
    """
    path, name = _split(reference)
    found = workloads(path)
    if not found:
        raise SpecError(f"{path} defines no Workload at its top level.")
    if name is None and len({id(workload) for workload in found.values()}) == 1:
        return next(iter(found.values()))
    named = _by_name(path, found) | found
    if name is None or name not in named:
        known = ", ".join(sorted({workload.name for workload in found.values()}))
        asked = f"has no workload {name!r}" if name else "defines several workloads"
        raise SpecError(f"{path} {asked}; write one of them as {path}:NAME. There are: {known}.")
    return named[name]


def load_named(reference: str, name: str) -> Workload:
    """The workload called `name` of a DAG file, as a run recorded it: with `:NAME` or without. SpecError when
    the file has none of that name (any more)."""
    workload = load(f"{reference}:{name}" if Path(reference).exists() else reference)
    if workload.name != name:
        raise SpecError(f"{reference} gives the workload {workload.name}, not {name}.")
    return workload


def _by_name(path: Path, found: dict[str, Workload]) -> dict[str, Workload]:
    named: dict[str, Workload] = {}
    for workload in found.values():
        if named.setdefault(workload.name, workload) is not workload:
            raise SpecError(
                f"{path} defines two workloads named {workload.name!r}, which would be each other's runs. "
                "Give each its own name."
            )
    return named


def workloads(path: Path) -> dict[str, Workload]:
    """The workloads at the top level of a DAG file by variable name, and the stages of its pipelines by their own."""
    found: dict[str, Workload] = {}
    for name, value in _values(path, (Workload, Pipelined)).items():
        if isinstance(value, Workload):
            found[name] = value
        else:
            found |= {stage.name: stage for stage in value.pipeline.stages()}
    return found


def _values(path: Path, kinds: Any) -> dict[str, Any]:
    """The values of these kinds at the top level of a DAG file, by variable name."""
    if not path.is_file():
        raise SpecError(f"There is no DAG file {path}.")
    module_name = f"offpeak_dag_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise SpecError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent.resolve())
    sys.path.insert(0, folder)
    sys.modules[module_name] = module  # pydantic resolves annotations through it
    token = only_workloads.set(True)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise SpecError(f"{error.filename or path}, line {error.lineno}: {error.msg}.") from error
    except Exception as error:  # a border: whatever the user's file does, the message names its line
        said = str(error) if isinstance(error, SpecError) else f"{type(error).__name__}: {error}"
        raise SpecError(f"{path}, line {_line_in(path, error)}: {said}") from error
    finally:
        only_workloads.reset(token)
        if folder in sys.path:
            sys.path.remove(folder)
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, kinds) and not isinstance(value, type)
    }


def _line_in(path: Path, error: Exception) -> int | str:
    """The last line of the file that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    return next(
        (at.lineno or "?" for at in reversed(frames) if Path(at.filename).absolute() == path.absolute()), "?"
    )


def _split(reference: str) -> tuple[Path, str | None]:
    path, colon, name = reference.rpartition(":")
    if colon and path and not Path(reference).exists():
        return Path(path), name
    return Path(reference), None

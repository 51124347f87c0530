"""What a run asks, and of whom: its own record of it, where the DAG file says something else by now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from offpeak.prompt import Prompt

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.workload import Workload


def as_asked(workload: Workload, run: Run) -> Workload:
    """The workload with the model, parameters and prompt that `run` was started with.

    A replay may ask another model than its DAG file names, and a DAG file may have changed since a batch
    was sent: what came back is read and priced as it was asked. Answer type, checks and table stay those
    of the DAG file. SpecError when the present DAG file cannot be combined with them.
    """
    spec = run.spec
    said: dict[str, Any] = {
        name: spec[name]
        for name in ("model", "endpoint", "params", "max_output_tokens")
        if name in spec and spec[name] != getattr(workload, name)
    }
    if "user" in spec and (spec["system"], spec["user"]) != (workload.prompt.system, workload.prompt.user):
        said["prompt"] = Prompt(system=spec["system"], user=spec["user"])
    return asking(workload, **said)


def asking(workload: Workload, **said: Any) -> Workload:
    """The workload with some of its arguments changed, and without what belonged to the old ones.

    With another model the user's own price goes, with another provider also its connection, endpoint and
    parameters, unless they are among the changes. SpecError lists what then does not fit together.
    """
    if not said:
        return workload
    model = said.get("model", workload.model)
    gone: dict[str, Any] = {} if model == workload.model else {"price": None}
    if str(model).partition(":")[0] != workload.provider_name:
        gone |= {"connection": None, "endpoint": "", "params": {}}
    return replace(workload, **{**gone, **said})

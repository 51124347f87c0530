"""`make demo`: a workload from its sample rows to its published table, on a real Airflow and the emulator."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from offpeak.cli.screen import progress_line
from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.closing import close
from offpeak.demo.emulated import emulator, named_credentials, towards
from offpeak.demo.interrupted import end_interrupted
from offpeak.demo.place import Place, alone, environ, place_in
from offpeak.demo.samples import Sample, lay_out, sample_for
from offpeak.demo.screen import StatusLine
from offpeak.errors import OffpeakError
from offpeak.progress import progress

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.site import Site

FOLDER = ".demo"
RUN_SECONDS = 900.0
NO_SCHEDULE = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False"}
"""An unpaused DAG would at once run its latest interval beside the run that we trigger."""


def demo(root: Path, name: str) -> int:
    """Run the workload `name` of the project at `root` and say what came of it; the exit code.

    Whatever happens, nothing is left running. Raises OffpeakError when a component failed.
    """
    sample, place, line = sample_for(name), place_in(root, FOLDER), StatusLine()
    with ExitStack() as stack:
        stack.enter_context(alone(place))
        if named := named_credentials(os.environ):
            line.say(
                f"The demo never asks a real provider: {', '.join(named)} in your environment is left aside."
            )
        line("laying out sample rows and starting the emulator")
        lay_out(sample, place.store)
        url = stack.enter_context(emulator(place.emulator))
        airflow = stack.enter_context(_airflow(place, url, line))
        ended = _follow(airflow, _site(place), name, line)
        if ended.good and ended.run is not None:
            _close(place, ended.run, sample, line)
        else:
            _say_failed(airflow, _site(place), ended, line)
        line("stopping Airflow and the emulator")
    if not ended.good:
        return 1
    line.say(
        f"\nDone in {line.seconds:.0f} s; nothing is left running. `make demo` again asks nothing twice; "
        "`make up` keeps Airflow up to look around."
    )
    return 0


def _airflow(place: Place, url: str, line: StatusLine) -> LocalAirflow:
    env = {**towards(url, environ()), "OFFPEAK_STORE": str(place.store)}
    return LocalAirflow(
        place.airflow, place.dags, env=env, plugins=place.plugins, settings=NO_SCHEDULE, watch=line
    )


def _site(place: Place) -> Site:
    from offpeak.site import Site

    return Site.open(store=str(place.store), ledger=f"sqlite:///{place.store}/ledger.sqlite")


class Ended(NamedTuple):
    """A dag run that has ended, and the run it carried; None when it did not come to that."""

    dag_id: str
    dag_run_id: str
    good: bool
    run: Run | None


def _follow(airflow: LocalAirflow, site: Site, name: str, line: StatusLine) -> Ended:
    """Trigger the DAG and show its run until it ends."""
    airflow.wait_for_dag(name)
    end_interrupted(airflow.api, site)
    line.say(
        f"Airflow is up at {airflow.url} (user {airflow.login.user}, password {airflow.login.password})."
    )
    dag_run_id = airflow.trigger(name)
    seen: list[Run] = []

    def watched() -> str | None:
        state = str(airflow.dag_run(name, dag_run_id)["state"])
        seen[:] = [run for run in site.ledger.runs(name, limit=5) if run.started_by == dag_run_id]
        if seen:
            look = progress(site, seen[0].run_id)
            line(progress_line(look, site), topic=str(look.run.state))
        return state if state in ("success", "failed") else None

    what = f"{name}: waiting for Airflow to plan the run"
    airflow.watch = lambda told: None if seen else line(told)
    try:
        state = airflow.wait(what, watched, timeout_seconds=RUN_SECONDS)
        return Ended(name, dag_run_id, state == "success", seen[0] if seen else None)
    finally:
        airflow.watch = line
        with suppress(OffpeakError, OSError):  # when Airflow itself has failed, that is what is to be told
            airflow.api.unpause(name, paused=True)


def _close(place: Place, run: Run, sample: Sample, line: StatusLine) -> None:
    from offpeak.dag_files import load

    site = _site(place)
    close(load(str(place.dags / sample.dag_file)), site, site.ledger.run(run.run_id), sample, line)


def _say_failed(airflow: LocalAirflow, site: Site, ended: Ended, line: StatusLine) -> None:
    line.say(f"\nThe dag run {ended.dag_run_id} of {ended.dag_id} failed.")
    if ended.run is not None:
        run = site.ledger.run(ended.run.run_id)
        line.say(f"{run.error}\nThe report: {run.facts.get('report', {}).get('html', 'not written')}")
    tasks = airflow.task_instances(ended.dag_id, ended.dag_run_id)
    for task_id in dict.fromkeys(task["task_id"] for task in tasks if task["state"] == "failed"):
        line.say(airflow.task_log(ended.dag_id, ended.dag_run_id, task_id))

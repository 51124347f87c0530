"""`make demo`: workloads from their sample rows to their published tables on two nights, on a real Airflow and the
emulator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from offpeak.cli.screen import progress_line
from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.closing import close
from offpeak.demo.emulated import emulator, named_credentials, towards
from offpeak.demo.interrupted import end_interrupted
from offpeak.demo.place import Place, alone, environ, place_in
from offpeak.demo.samples import Night, Sample, lay_out, sample_for
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


def demo(root: Path, names: Sequence[str], *, nights: int = 2) -> int:
    """Run the workloads of the project at `root` for one or two nights each and say what came of it; the exit code.

    Whatever happens, nothing is left running. Raises OffpeakError when a component failed.
    """
    samples = {name: sample_for(name) for name in names}
    place, line = place_in(root, FOLDER), StatusLine()
    with ExitStack() as stack:
        stack.enter_context(alone(place))
        if named := named_credentials(os.environ):
            line.say(
                f"The demo never asks a real provider: {', '.join(named)} in your environment is left aside."
            )
        line("laying out sample rows and starting the emulator")
        for sample in samples.values():
            lay_out(sample, place.store)
        url = stack.enter_context(emulator(place.emulator))
        airflow = stack.enter_context(_airflow(place, url, line))
        line.say(
            f"Airflow is up at {airflow.url} (user {airflow.login.user}, password {airflow.login.password})."
        )
        stage = _Stage(place=place, airflow=airflow, site=_site(place), line=line)
        good = all(stage.show(name, sample, nights) for name, sample in samples.items())
        line("stopping Airflow and the emulator")
    if not good:
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
    """A dag run that has ended, and the runs it carried, the latest first; none when it did not come to that."""

    dag_id: str
    dag_run_id: str
    good: bool
    runs: list[Run]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """The Airflow that is up, and what it works on."""

    place: Place
    airflow: LocalAirflow
    site: Site
    line: StatusLine

    def show(self, name: str, sample: Sample, nights: int) -> bool:
        """The workload's nights, one after the other; whether all went well."""
        self.airflow.wait_for_dag(name)
        end_interrupted(self.airflow.api, self.site)
        for number, night in enumerate(sample.nights[:nights], 1):
            if number == 1:
                self.line.say(f"\n=== {name}, first night")
            else:
                sample.change(self.place.store)
                self.line.say(f"\n=== {name}, second night: {sample.changed}")
            ended = self._follow(name, night)
            if not ended.good or not ended.runs:
                self._say_failed(ended)
                return False
            close(self.place.dags / sample.dag_file, self.site, ended.runs, sample, self.line)
        return True

    def _follow(self, name: str, night: Night) -> Ended:
        """Trigger the DAG and show its runs until it ends."""
        airflow, site, line = self.airflow, self.site, self.line
        dag_run_id = airflow.trigger(name, dict(night))
        seen: list[Run] = []

        def watched() -> str | None:
            state = str(airflow.dag_run(name, dag_run_id)["state"])
            seen[:] = site.ledger.runs(started_by=dag_run_id, limit=50)
            if seen:
                look = progress(site, seen[0].run_id)
                stage = f"{look.run.workload}: " if len(seen) > 1 else ""
                line(stage + progress_line(look, site), topic=f"{stage}{look.run.state}")
            return state if state in ("success", "failed") else None

        what = f"{name}: waiting for Airflow to plan the run"
        airflow.watch = lambda told: None if seen else line(told)
        try:
            state = airflow.wait(what, watched, timeout_seconds=RUN_SECONDS)
            return Ended(name, dag_run_id, state == "success", seen)
        finally:
            airflow.watch = line
            with suppress(
                OffpeakError, OSError
            ):  # when Airflow itself has failed, that is what is to be told
                airflow.api.unpause(name, paused=True)

    def _say_failed(self, ended: Ended) -> None:
        line, airflow = self.line, self.airflow
        line.say(f"\nThe dag run {ended.dag_run_id} of {ended.dag_id} failed.")
        for run in (self.site.ledger.run(run.run_id) for run in ended.runs):
            if run.error:
                report = run.facts.get("report", {}).get("html", "not written")
                line.say(f"{run.error}\nThe report: {report}")
        tasks = airflow.task_instances(ended.dag_id, ended.dag_run_id)
        for task_id in dict.fromkeys(task["task_id"] for task in tasks if task["state"] == "failed"):
            line.say(airflow.task_log(ended.dag_id, ended.dag_run_id, task_id))

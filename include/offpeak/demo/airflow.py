"""A real Airflow on this machine: api-server, scheduler, dag-processor and triggerer, on SQLite."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

from offpeak.demo.api import AirflowApi, Record
from offpeak.demo.child import Child
from offpeak.demo.settings import HOST, USER, environment, free_ports, secrets_of
from offpeak.demo.stale import end_stale, note_sessions
from offpeak.errors import OffpeakError

T = TypeVar("T")

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
_HEALTH = {"metadatabase", "scheduler", "dag_processor", "triggerer"}
START_SECONDS = 180.0
STOP_SECONDS = 6.0
"""For all components together; a triggerer that is asked to leave takes 12, and bears being killed."""
IMPORT_SECONDS = 20.0
"""So long another file's import error may be an old one, or nobody's business."""
TAIL_LINES = 25
_BLINK_SECONDS = 0.25


class Login(NamedTuple):
    user: str
    password: str


class LocalAirflow:
    """Airflow for the length of a `with` block; its database and logs stay in `home` for the next one.

    On entry all components are healthy; on exit, also after an error, none of their processes is left.
    `env` is what the components see; Airflow settings in it are left out in favour of ours, except
    those of `settings`. `watch` is told, again and again, what is being waited for. Raises OffpeakError
    with the end of the log of a component that failed.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        env: Mapping[str, str],
        plugins: Path | None = None,
        settings: Mapping[str, str] | None = None,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.home = home.resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        self.watch = watch
        self._ports = free_ports()
        given = environment(self.home, dags.resolve(), plugins, self._ports, given=env)
        self._env = {**given, **(settings or {})}
        self._children: dict[str, Child] = {}
        self._revived: list[str] | None = None
        self.url = f"http://{HOST}:{self._ports.api}"
        self.api = AirflowApi(self.url, secrets_of(self.home))

    @property
    def login(self) -> Login:
        return Login(USER, secrets_of(self.home).password)

    def __enter__(self) -> LocalAirflow:
        end_stale(self.home)
        try:
            self._migrate()
            for component in COMPONENTS:
                self.start(component)
            self._become_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- components
    def start(self, component: str) -> None:
        """Start a component; `wait` for what it should do."""
        self._run(component, component)

    def kill(self, component: str) -> None:
        """SIGKILL to the component and all its processes, as if the power went."""
        self._children.pop(component).kill()

    def stop(self) -> None:
        """End every component and all their processes."""
        children = list(self._children.values())
        for child in children:
            child.ask_to_stop()
        until = time.monotonic() + STOP_SECONDS
        for child in children:
            child.end(patience_seconds=max(0.0, until - time.monotonic()))
        self._children.clear()
        note_sessions(self.home, {})

    @contextmanager
    def reviving(self) -> Iterator[list[str]]:
        """Within the block a component that ends by itself is started again, as a service manager would,
        whenever something is waited for. Gives the list of their names, which grows."""
        self._revived = []
        try:
            yield self._revived
        finally:
            self._revived = None

    def check_alive(self, what: str) -> None:
        """Raises OffpeakError, about `what`, when a component has ended by itself and is not to be revived."""
        for name, child in list(self._children.items()):
            if child.exit_code is None or name == "migrate":
                continue
            if self._revived is None:
                raise OffpeakError(
                    f"{what}: Airflow's {name} ended with exit code {child.exit_code}.\n{self._told(name)}"
                )
            self.kill(name)  # what it left in its session holds its ports
            self.start(name)
            self._revived.append(name)

    def logs(self, component: str) -> str:
        """The end of a component's log."""
        return _end_of(self._log(component))

    def task_log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """The end of the last log that this task of a dag run wrote, over all tries and map indices."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        files = sorted(folder.rglob("*.log"), key=lambda file: file.stat().st_mtime)
        return f"--- {files[-1]}\n{_end_of(files[-1])}" if files else f"--- no log in {folder}"

    # -- runs
    def trigger(
        self, dag_id: str, conf: Mapping[str, object] | None = None, *, logical_date: datetime | None = None
    ) -> str:
        """Trigger a DAG, unpausing it first; the dag run's id."""
        self.api.unpause(dag_id)
        return self.api.trigger(dag_id, conf, logical_date)

    def dag_run(self, dag_id: str, run_id: str) -> Record:
        return self.api.dag_run(dag_id, run_id)

    def task_instances(self, dag_id: str, run_id: str) -> list[Record]:
        return self.api.task_instances(dag_id, run_id)

    def wait(self, what: str, condition: Callable[[], T | None], *, timeout_seconds: float) -> T:
        """The first true value of `condition`, which may raise OSError for "not yet".

        Raises OffpeakError after the time-out, or when a component ends.
        """
        until = time.monotonic() + timeout_seconds
        while True:
            found = None
            with suppress(OSError):  # no answer now; whether the component still lives is looked at next
                found = condition()
            if found:
                return found
            self.watch(what)
            self.check_alive(what)
            if time.monotonic() > until:
                raise OffpeakError(
                    f"{what}: not within {timeout_seconds:.0f} s. The ends of Airflow's logs in {self.home / 'out'}:\n"
                    + "\n".join(self._told(component) for component in COMPONENTS)
                )
            time.sleep(_BLINK_SECONDS)

    def wait_for_dag(self, dag_id: str, *, timeout_seconds: float = 90.0) -> None:
        """Return when the DAG is loaded. Raises OffpeakError with Airflow's import errors if it is not soon."""
        patient_until = time.monotonic() + IMPORT_SECONDS

        def loaded() -> bool:
            if dag_id in self.api.dag_ids():
                return True
            if time.monotonic() > patient_until and (errors := self.api.import_errors()):
                listed = "\n".join(f"{file}:\n{text}" for file, text in errors.items())
                raise OffpeakError(f"Airflow could not load the DAG {dag_id}:\n{listed}")
            return False

        self.wait(f"loading the DAG {dag_id}", loaded, timeout_seconds=timeout_seconds)

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout_seconds: float) -> str:
        """The state in which the dag run ended: `success` or `failed`."""

        def ended() -> str | None:
            state = str(self.dag_run(dag_id, run_id)["state"])
            return state if state in ("success", "failed") else None

        return self.wait(f"the end of {dag_id} {run_id}", ended, timeout_seconds=timeout_seconds)

    # -- starting
    def _migrate(self) -> None:
        """Bring the database up to this Airflow's version, unless that has been done before."""
        note, version = self.home / "migrated", metadata.version("apache-airflow-core")
        if note.exists() and note.read_text() == version:
            return
        child = self._run("migrate", "db", "migrate")
        self.wait(
            "migrating Airflow's database", lambda: child.exit_code is not None, timeout_seconds=START_SECONDS
        )
        if child.exit_code:
            raise OffpeakError(f"Airflow's database could not be prepared.\n{self._told('migrate')}")
        del self._children["migrate"]
        note.write_text(version)

    def _run(self, name: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", "airflow", *arguments]
        child = Child(name, command, log=self._log(name), env=self._env, cwd=self.home)
        self._children[name] = child
        note_sessions(self.home, {one.name: one.session for one in self._children.values()})
        return child

    def _become_ready(self) -> None:
        def healthy() -> bool:
            return {name for name, state in self.api.health().items() if state == "healthy"} >= _HEALTH

        self.wait("starting Airflow's api-server", self.api.health, timeout_seconds=START_SECONDS)
        self.api.warm()
        self.wait("starting Airflow", healthy, timeout_seconds=START_SECONDS)

    def _log(self, component: str) -> Path:
        return self.home / "out" / f"{component}.log"

    def _told(self, component: str) -> str:
        return f"--- {self._log(component)}\n{self.logs(component)}"


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-TAIL_LINES:])

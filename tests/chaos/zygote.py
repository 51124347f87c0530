"""The zygote: one process that has everything imported and forks a child for every attempt.

Importing takes seconds, a fork milliseconds. It never starts a thread and never opens a connection, so
that its children begin clean. One JSON object a line comes in, one goes out.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.chaos.job import Job

QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""So that no import starts a thread of its own."""
IMPORTS = (
    "alembic.command",
    "anthropic",
    "duckdb",
    "great_expectations",
    "openai",
    "pandas",
    "psycopg",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
)
HUNG_SECONDS = 120.0
ROOT = Path(__file__).resolve().parents[2]


class Zygote:
    """The parent's end. Use it in a `with` block."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **QUIET},
            text=True,
        )

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe(self._process.stdin).close()
        self._process.wait(HUNG_SECONDS)
        self._pipe(self._process.stdout).close()

    def start(self, job: Job) -> int:
        """Fork a child that does the job; its process id."""
        return int(self._ask({"job": job.to_json()}))

    def wait(self, pid: int) -> str:
        """How the child ended: `done`, `killed`, `failed` or `hung` (and was then killed by the zygote)."""
        return str(self._ask({"wait": pid}))

    def _ask(self, question: dict[str, Any]) -> Any:
        into, out = self._pipe(self._process.stdin), self._pipe(self._process.stdout)
        into.write(json.dumps(question) + "\n")
        into.flush()
        return json.loads(out.readline())

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def main() -> None:
    """The zygote's own end."""
    import gc
    import importlib

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever an import or a child prints is no answer
    for name in IMPORTS:
        importlib.import_module(name)
    _import_offpeak()
    gc.collect()
    gc.freeze()  # so that a child's collections do not copy the pages of all that was imported
    for line in sys.stdin:
        question = json.loads(line)
        answer: object = _fork(question["job"]) if "job" in question else _wait(question["wait"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _import_offpeak() -> None:
    """Every module of the library that a run may need, by walking it: none is forgotten when it grows."""
    import importlib
    import pkgutil

    import offpeak

    apart = ("offpeak.on_airflow", "offpeak.cli", "offpeak.demo", "offpeak.ledger.migrations")
    for module in pkgutil.walk_packages(offpeak.__path__, "offpeak."):
        if not module.name.startswith(apart) and "__main__" not in module.name:
            importlib.import_module(module.name)


def _fork(text: str) -> int:
    from tests.chaos.child import live

    job = Job.from_json(text)
    pid = os.fork()
    if pid:
        return pid
    output = os.open(job.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code = 1
    try:
        live(job)
        code = 0
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()  # into the output, which the scene shows
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # a fork does without its parent's clean-up
    raise AssertionError("unreachable")


def _wait(pid: int) -> str:
    ended = select.select([os.pidfd_open(pid)], [], [], HUNG_SECONDS)[0]
    if not ended:
        os.kill(pid, signal.SIGKILL)
    for descriptor in ended:
        os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    if not ended:
        return "hung"
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) == signal.SIGKILL else "failed"
    return "done" if os.WEXITSTATUS(status) == 0 else "failed"


if __name__ == "__main__":
    main()

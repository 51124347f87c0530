"""A real Airflow whose scheduler has imported what its tasks need: they are forked from it and need not import it
each anew, which was half of their time. A cold Airflow, as a newcomer has it, is what the tests of the demo start."""

from __future__ import annotations

from pathlib import Path

SETTINGS = {
    # the DAG files do not change while a test looks
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "600",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "1200",
    # so that no import starts a thread, which a fork would not have
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
_IMPORTS = """
import importlib
import pkgutil
import sys

__all__ = []
APART = ("cli", "demo", "emulator", "ledger.migrations", "on_airflow.pages", "on_airflow.plugin")

if "scheduler" in sys.argv:
    import alembic.command
    import openai
    import pandas
    import pyarrow.dataset

    import offpeak
    from offpeak.checks.engine import imported

    imported()
    for module in pkgutil.walk_packages(offpeak.__path__, "offpeak."):
        if not module.name.removeprefix("offpeak.").startswith(APART):
            importlib.import_module(module.name)
"""


def warm(home: Path) -> Path:
    """Lay out, in this home of a LocalAirflow, the settings file that all its components read; the home."""
    config = home / "config"
    config.mkdir(parents=True)
    (config / "airflow_local_settings.py").write_text(_IMPORTS)
    return home

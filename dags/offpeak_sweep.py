"""Every hour: find paid batches that no living run looks after, and keep what they finished."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

FILES = "DAG files whose workloads are swept; none: those that the runs themselves came from."

with DAG(
    dag_id="offpeak_sweep",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "offpeak", "retries": 1, "retry_delay": timedelta(minutes=5)},
    params={"dag_files": Param([], type="array", description=FILES)},
    tags=["offpeak"],
    doc_md="Fails when something needs a person; its log says what. `offpeak sweep` does the same by hand.",
) as dag:

    @task
    def sweep(params: dict[str, Any]) -> dict[str, int]:
        from airflow.sdk.exceptions import AirflowFailException

        from offpeak.on_airflow.site import airflow_site
        from offpeak.sweep import sweep_dag_files

        swept = sweep_dag_files(airflow_site(), params["dag_files"])
        for line in swept.lines:
            logging.getLogger(__name__).info("%s %s %s", line.act, line.run_id, line.said)
        if swept.for_person:
            said = "\n".join(f"  - {line.run_id} {line.said}" for line in swept.lines if line.for_person)
            raise AirflowFailException(f"The sweep found what needs a person:\n{said}")
        return dict(swept.counts)

    sweep()  # type: ignore[call-arg]  # Airflow gives it the params

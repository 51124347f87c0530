"""What Airflow must know of the library wherever it is installed, whatever is in its plugins folder."""

from __future__ import annotations

from airflow.sdk.plugins_manager import AirflowPlugin

from offpeak.on_airflow.deadlines import DueReference


class OffpeakDue(AirflowPlugin):
    """The due time as something that deadlines are made from.

    An entry point of the package: a scheduler that does not find it makes no runs of a workload with a due time.
    """

    name = "offpeak_due"
    deadline_references = [DueReference]  # noqa: RUF012  (Airflow's own type)

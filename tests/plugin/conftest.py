"""Airflow reads its home when it is first imported: a folder of our own, unless one is named."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="offpeak-airflow-"))

"""What a newcomer runs: a real Airflow and the emulator on this machine, sample rows, and a run to watch.

`python -m offpeak.demo run WORKLOAD` is `make demo`, `python -m offpeak.demo up` is `make up`. The
local Airflow (`offpeak.demo.airflow.LocalAirflow`) also serves the tests, and users' own CI.
"""

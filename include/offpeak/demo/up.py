"""`make up`: Airflow with the project's DAGs, until Ctrl-C."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path

from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.emulated import emulator, named_credentials, towards
from offpeak.demo.interrupted import end_interrupted
from offpeak.demo.place import Place, alone, environ, place_in
from offpeak.demo.run import FOLDER
from offpeak.demo.samples import SAMPLES, lay_out
from offpeak.demo.screen import StatusLine

REAL_FOLDER = ".up"
"""Apart from the demo's: answers of the emulator must never pass for a model's."""
LOOK_SECONDS = 2.0


def up(root: Path) -> None:
    """Keep Airflow up until it is interrupted; nothing is left running then.

    Asks the emulator, unless the environment names a real provider's account. Raises OffpeakError when
    a component fails.
    """
    line, named = StatusLine(), named_credentials(os.environ)
    place = place_in(root, REAL_FOLDER if named else FOLDER)
    with ExitStack() as stack:
        stack.enter_context(alone(place))
        env = _real(place) if named else _emulated(place, stack, line)
        airflow = LocalAirflow(place.airflow, place.dags, env=env, plugins=place.plugins, watch=line)
        stack.enter_context(airflow)
        if not named:
            _forget(airflow, place)
        _say(airflow, env, named, line)
        _stay(airflow)


def _real(place: Place) -> dict[str, str]:
    """The user's environment as it is, with a store of its own if none is named."""
    return {"OFFPEAK_STORE": str(place.store), **os.environ}


def _emulated(place: Place, stack: ExitStack, line: StatusLine) -> dict[str, str]:
    line("laying out sample rows and starting the emulator")
    for sample in SAMPLES.values():
        lay_out(sample, place.store)
    url = stack.enter_context(emulator(place.emulator))
    return {**towards(url, environ()), "OFFPEAK_STORE": str(place.store)}


def _forget(airflow: LocalAirflow, place: Place) -> None:
    from offpeak.site import Site

    end_interrupted(
        airflow.api, Site.open(store=str(place.store), ledger=f"sqlite:///{place.store}/ledger.sqlite")
    )


def _say(airflow: LocalAirflow, env: dict[str, str], named: list[str], line: StatusLine) -> None:
    asked = (
        f"REAL PROVIDERS, by {', '.join(named)}: runs cost money"
        if named
        else "the emulator: runs cost nothing, and no answer is a model's"
    )
    line.say(
        f"\nAirflow: {airflow.url}   user {airflow.login.user}   password {airflow.login.password}\n"
        f"Asks:    {asked}.\n"
        f"Store:   {env['OFFPEAK_STORE']}\n"
        f"Logs:    {airflow.home / 'out'}\n\n"
        "The DAGs are paused, as Airflow has it. To run one: switch it on in the list and press Trigger. Once it\n"
        "is switched on it also runs by its schedule, at first for the latest interval. Ctrl-C ends everything."
    )


def _stay(airflow: LocalAirflow) -> None:
    """Until interrupted, or until a component ends."""
    never = threading.Event()
    while not never.wait(LOOK_SECONDS):
        airflow.check_alive("keeping Airflow up")

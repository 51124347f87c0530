"""The providers' batch and realtime APIs on localhost, for demos, tests and your own CI.

    with Emulator(speed=60) as emulator:
        client = OpenAI(base_url=emulator.openai_url, api_key="any")

Answers come from a stand-in model that is deterministic and useful but no language model; every answer
names its model `emulated/...`. Nothing is sent anywhere.
"""

from __future__ import annotations

from offpeak.emulator.control import Billed, Control, FaultRow, SeenBatch, SeenCreate, SeenRequest, State
from offpeak.emulator.fault_table import FAULTS, FaultKind
from offpeak.emulator.latency import Draw, FixedLatency, Latency, Phases
from offpeak.emulator.options import Options
from offpeak.emulator.profiles import PROFILES, Profile, latency_named
from offpeak.emulator.server import Emulator, serve

__all__ = [
    "FAULTS",
    "PROFILES",
    "Billed",
    "Control",
    "Draw",
    "Emulator",
    "FaultKind",
    "FaultRow",
    "FixedLatency",
    "Latency",
    "Options",
    "Phases",
    "Profile",
    "SeenBatch",
    "SeenCreate",
    "SeenRequest",
    "State",
    "latency_named",
    "serve",
]

"""Forecast: when a batch, and the run that waits for it, will be done. Pure: history comes as samples."""

from __future__ import annotations

from offpeak.forecast.calibration import Calibration, Pair, calibration, replayed
from offpeak.forecast.finish import Finish, Progress, of_all, of_batch, of_share
from offpeak.forecast.history import History, PastBatch, past_batches
from offpeak.forecast.survival import Survival

__all__ = [
    "Calibration",
    "Finish",
    "History",
    "Pair",
    "PastBatch",
    "Progress",
    "Survival",
    "calibration",
    "of_all",
    "of_batch",
    "of_share",
    "past_batches",
    "replayed",
]

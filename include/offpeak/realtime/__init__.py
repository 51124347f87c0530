"""The realtime route: a shard's requests asked one by one, each answer written down as it comes.

lines of the shard file → `Throttle` (the account's limits) → the provider → `Recorder` (segments in the
store) → `replies`. Whoever takes a shard over reads the segments first and asks only what is not there.
"""

from __future__ import annotations

from offpeak.realtime.answer import answer, ask_rest
from offpeak.realtime.asking import Progress
from offpeak.realtime.segments import replies

__all__ = ["Progress", "answer", "ask_rest", "replies"]

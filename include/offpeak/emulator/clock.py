"""Virtual time: it runs at a chosen speed, stands still, or jumps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Clock:
    """Unix seconds that never run backwards; every moment the emulator reports is read here."""

    def __init__(
        self,
        *,
        start: float | None = None,
        speed: float = 1.0,
        frozen: bool = False,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._tick = tick
        self._base = time.time() if start is None else start
        self._since = tick()
        self._speed = _checked_speed(speed)
        self._frozen = frozen

    def now(self) -> float:
        with self._lock:
            return self._read()

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def frozen(self) -> bool:
        return self._frozen

    def set_speed(self, speed: float) -> None:
        """Virtual seconds per real second from now on; the time already passed stays passed."""
        with self._lock:
            self._rebase(0.0)
            self._speed = _checked_speed(speed)

    def freeze(self, frozen: bool = True) -> None:
        with self._lock:
            self._rebase(0.0)
            self._frozen = frozen

    def advance(self, seconds: float) -> None:
        """Jump ahead. Works on a frozen clock too, which then stands still at the new time."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"the clock can only be advanced by 0 or more seconds, not {seconds}")
        with self._lock:
            self._rebase(seconds)

    def _read(self) -> float:
        passed = 0.0 if self._frozen else (self._tick() - self._since) * self._speed
        return self._base + passed

    def _rebase(self, jump: float) -> None:
        self._base = self._read() + jump
        self._since = self._tick()


def _checked_speed(speed: float) -> float:
    if not 0 < speed < float("inf"):
        raise ValueError(f"speed must be a positive number of virtual seconds per second, not {speed}")
    return speed

"""One line that follows what happens: rewritten on a terminal, printed now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time

PLAIN_EVERY_SECONDS = 10.0
TERMINAL_EVERY_SECONDS = 0.25


class StatusLine:
    """Everything that is said goes to stdout; the changing line never mixes with the lasting ones."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._started = self._last_at = time.monotonic()
        self._topic = ""
        self._open = False

    def __call__(self, text: str, *, topic: str | None = None) -> None:
        """Show `text` if it is time to. A new `topic` (the text itself, if None) is shown at once."""
        topic, now = topic or text, time.monotonic()
        if topic != self._topic:
            self._topic, self._last_at = topic, now
        elif now - self._last_at < (TERMINAL_EVERY_SECONDS if self._terminal else PLAIN_EVERY_SECONDS):
            return
        self._last_at = now
        line = f"[{now - self._started:3.0f} s] {text}"
        self._write(f"\r\033[K{_cut(line)}" if self._terminal else f"{line}\n")
        self._open = self._terminal

    def say(self, text: str) -> None:
        """A lasting line."""
        self._write(("\r\033[K" if self._open else "") + text + "\n")
        self._open = False

    @property
    def seconds(self) -> float:
        """Since the line was made."""
        return time.monotonic() - self._started

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _cut(line: str) -> str:
    """A line that wraps could not be rewritten."""
    return line[: shutil.get_terminal_size().columns - 1]

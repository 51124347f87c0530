"""The command `offpeak`."""

from __future__ import annotations

from offpeak.cli.main import main, script

__all__ = ["main", "script"]

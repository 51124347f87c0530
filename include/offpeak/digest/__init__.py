"""The nightly digest: yesterday's items of each group become a few statements that cite them, and one page."""

from __future__ import annotations

from offpeak.digest.spec import Digest

__all__ = ["Digest"]

"""Tokens of a request before it is answered, learned from those that were."""

from __future__ import annotations

from offpeak.providers.provider import Usage
from offpeak.shards import estimated_tokens

_WEIGHT = 8
"""The first guess counts as so many answers."""


class TokenGuess:
    """Input by the length of the line, output by the mean. Begins with four bytes a token."""

    def __init__(self, *, output_tokens: float, line_bytes: float) -> None:
        """`output_tokens` expected of one answer, `line_bytes` of a line, on average."""
        self._answers = float(_WEIGHT)
        self._bytes = _WEIGHT * max(line_bytes, 1.0)
        self._input = float(_WEIGHT * estimated_tokens(round(max(line_bytes, 1.0))))
        self._output = _WEIGHT * output_tokens

    def of(self, size_bytes: int) -> float:
        return size_bytes * self._input / self._bytes + self._output / self._answers

    def learn(self, size_bytes: int, usage: Usage) -> None:
        """An answer came; one without usage (a refused request) says nothing."""
        if not usage.input_tokens and not usage.output_tokens:
            return
        self._answers += 1
        self._bytes += size_bytes
        self._input += usage.input_tokens
        self._output += usage.output_tokens

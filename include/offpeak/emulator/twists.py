"""What a line fault does to one answer, before a wire words it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson

from offpeak.emulator import tokens
from offpeak.emulator.faults import Fault
from offpeak.emulator.model import Answer, Prompt
from offpeak.emulator.wire import ApiError

SEPARATORS = "\u2028\u2029\u0085"
REFUSAL = "I'm sorry, but I can't help with that request."


@dataclass(frozen=True, slots=True, kw_only=True)
class Twist:
    """One line fault, ready to be applied to the answer of the line it struck."""

    name: str
    result_type: str = ""  # of an Anthropic result that has an unknown one

    @classmethod
    def of(cls, fault: Fault | None) -> Twist | None:
        if fault is None:
            return None
        name = fault.kind.name
        shown = str(fault.params.get("type", "paused")) if name == "unknown_result_type" else ""
        return cls(name=name, result_type=shown)

    def raise_error(self) -> None:
        """Raises the ApiError of a line that is to fail; does nothing for the other faults."""
        if self.name == "line_error_500":
            raise ApiError(
                status=500, message="The server had an error processing your request.", type="server_error"
            )
        if self.name == "line_error_400":
            raise ApiError(
                status=400, message="Invalid value: the request cannot be answered.", param="messages"
            )

    def bend(self, answer: Answer, prompt: Prompt) -> Answer:
        """The answer as the fault makes it."""
        if self.name == "line_refusal":
            return Answer(text=REFUSAL, finish="refusal", output_tokens=tokens.count(REFUSAL))
        if self.name == "line_truncated":
            return _retold(answer, answer.text[: len(answer.text) // 2], finish_length=True)
        if self.name == "line_invalid_json":
            return _retold(answer, "Here is the answer: " + answer.text[:-1])
        if self.name == "line_schema_break":
            return _retold(answer, '{"unexpected":"this breaks the schema"}')
        if self.name == "line_separators":
            return _retold(answer, _separated(answer.text, structured=prompt.schema is not None))
        return answer


def _retold(answer: Answer, text: str, *, finish_length: bool = False) -> Answer:
    return replace(
        answer,
        text=text,
        finish="length" if finish_length else answer.finish,
        output_tokens=answer.reasoning_tokens + tokens.count(text),
    )


def _separated(text: str, *, structured: bool) -> str:
    if not structured:
        return text.replace(" ", f" {SEPARATORS}", 1) if " " in text else text + SEPARATORS
    value, done = _with_separators(orjson.loads(text))
    return orjson.dumps(value).decode() if done else text


def _with_separators(value: Any) -> tuple[Any, bool]:
    """Puts them into the first string that holds a space, which a label of an enum does not."""
    if isinstance(value, str) and " " in value:
        return value.replace(" ", f" {SEPARATORS}", 1), True
    if isinstance(value, dict):
        for key, inner in value.items():
            changed, done = _with_separators(inner)
            if done:
                return {**value, key: changed}, True
    return value, False

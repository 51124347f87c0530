"""The lines of an Anthropic result stream."""

from __future__ import annotations

import orjson

from offpeak.emulator.answers import anthropic_error
from offpeak.emulator.as_anthropic.messages import complete
from offpeak.emulator.life import Stage
from offpeak.emulator.quirks import Quirks
from offpeak.emulator.twists import Twist
from offpeak.emulator.wire import ApiError, JsonObject, dumps
from offpeak.emulator.work import LineAnswer
from offpeak.emulator.world import World

NOT_IN_BATCHES = ("speed", "fallbacks")
FAILED_BATCH_LINE = Twist(name="line_error_500")


class AnthropicLines:
    """Answers the requests of one batch. Parameters are checked here, long after the create."""

    split = False

    def __init__(self, world: World, version: str) -> None:
        self._world = world
        self._version = version
        self.quirks = Quirks()

    def answer(self, raw: bytes) -> LineAnswer:
        line = orjson.loads(raw)
        custom_id, params = line["custom_id"], line["params"]
        twist = self._world.twist("/v1/messages/batches", params, custom_id=custom_id)
        if self.quirks.all_failed:
            twist = FAILED_BATCH_LINE
        if twist is not None and twist.result_type:
            return LineAnswer(raw=_line(custom_id, {"type": twist.result_type}), ok=False)
        try:
            _check_for_batch(params)
            done = complete(params, self._world, version=self._version, tier="batch", twist=twist)
        except ApiError as error:
            told = anthropic_error(error, self._world.ids.new("req_"))
            return LineAnswer(raw=_line(custom_id, {"type": "errored", "error": told}), ok=False)
        return LineAnswer(
            raw=_line(custom_id, {"type": "succeeded", "message": done.body}),
            ok=True,
            input_tokens=done.tally.input_tokens,
            cached_tokens=done.tally.cached_tokens,
            output_tokens=done.tally.output_tokens,
        )

    def unfinished(self, raw: bytes, ending: Stage) -> bytes | None:
        kind = "expired" if ending is Stage.EXPIRED else "canceled"
        result: JsonObject = {"type": kind}
        if kind == "expired" and self.quirks.generic_expiry:
            error = ApiError(status=500, message="Internal server error")
            result = {"type": "errored", "error": anthropic_error(error, None)}
        return _line(orjson.loads(raw)["custom_id"], result)

    def foreign(self, raw: bytes, number: int) -> bytes:
        return dumps({**orjson.loads(raw), "custom_id": f"foreign-{number}"})


def _check_for_batch(params: JsonObject) -> None:
    if params.get("stream"):
        raise ApiError(status=400, message="stream: streaming is not supported in batches")
    for name in NOT_IN_BATCHES:
        if name in params:
            raise ApiError(status=400, message=f"{name}: not supported in batches")


def _line(custom_id: str, result: JsonObject) -> bytes:
    return dumps({"custom_id": custom_id, "result": result})

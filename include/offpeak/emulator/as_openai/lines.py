"""The lines of an OpenAI batch: what goes into the output and the error file."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from offpeak.emulator.answers import openai_error
from offpeak.emulator.as_openai import chat, embedding, responses
from offpeak.emulator.as_openai.asking import Completed
from offpeak.emulator.life import Stage
from offpeak.emulator.quirks import Quirks
from offpeak.emulator.twists import Twist
from offpeak.emulator.wire import ApiError, JsonObject, dumps
from offpeak.emulator.work import LineAnswer
from offpeak.emulator.world import World

Complete = Callable[[JsonObject, World, Twist | None], Completed]

ENDPOINTS: dict[str, Complete] = {
    "/v1/chat/completions": chat.complete,
    "/v1/responses": responses.complete,
    "/v1/embeddings": embedding.complete,
}
FAILED_BATCH_LINE = Twist(name="line_error_500")


class OpenAILines:
    """Answers the lines of one batch."""

    split = True

    def __init__(self, world: World, endpoint: str) -> None:
        self._world = world
        self._complete = ENDPOINTS[endpoint]
        self.quirks = Quirks()

    def answer(self, raw: bytes) -> LineAnswer:
        line = orjson.loads(raw)
        custom_id, body = line["custom_id"], line["body"]
        twist = self._world.twist("/v1/batches", body, custom_id=custom_id)
        if self.quirks.all_failed:
            twist = FAILED_BATCH_LINE
        try:
            done = self._complete(body, self._world, twist)
        except ApiError as error:
            return LineAnswer(
                raw=self._line(custom_id, error.status, {"error": openai_error(error)}), ok=False
            )
        return LineAnswer(
            raw=self._line(custom_id, 200, done.body),
            ok=True,
            input_tokens=done.tally.input_tokens,
            cached_tokens=done.tally.cached_tokens,
            output_tokens=done.tally.output_tokens,
            reasoning_tokens=done.reasoning_tokens,
        )

    def unfinished(self, raw: bytes, ending: Stage) -> bytes | None:
        if ending is not Stage.EXPIRED:
            return None  # a cancelled line is in no file
        error = {
            "code": "batch_expired",
            "message": "This request could not be executed before the completion window expired.",
        }
        if self.quirks.generic_expiry:
            error = {"code": "server_error", "message": "The server had an error processing your request."}
        custom_id = orjson.loads(raw)["custom_id"]
        return dumps(
            {
                "id": self._world.ids.new("batch_req_"),
                "custom_id": custom_id,
                "response": None,
                "error": error,
            }
        )

    def foreign(self, raw: bytes, number: int) -> bytes:
        return dumps({**orjson.loads(raw), "custom_id": f"foreign-{number}"})

    def _line(self, custom_id: str, status: int, body: JsonObject) -> bytes:
        response = {"status_code": status, "request_id": self._world.ids.new("req_"), "body": body}
        return dumps(
            {
                "id": self._world.ids.new("batch_req_"),
                "custom_id": custom_id,
                "response": response,
                "error": None,
            }
        )

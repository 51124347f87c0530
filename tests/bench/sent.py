"""What a request file asks, whoever wrote it: so that contenders' files can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from tests.bench.work import Outcome, digest


def requests_in(paths: Iterable[Path]) -> Outcome:
    """The distinct requests of these files of OpenAI's chat endpoint.

    Compared is what decides the answer: model, messages, and the fields of the answer's schema. The words
    around a schema differ between contenders.
    """
    return digest(_asked(sorted(paths)))


def _asked(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as lines:
            for line in lines:
                body = orjson.loads(line)["body"]
                fields = body["response_format"]["json_schema"]["schema"]["properties"]
                yield orjson.dumps([body["model"], body["messages"], sorted(fields)])

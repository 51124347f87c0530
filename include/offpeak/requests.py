"""Requests: a row rendered for one model, named by a fingerprint of everything that decides the answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from offpeak.providers.provider import Ask, Provider

FINGERPRINT_BYTES = 16
_TAG = re.compile(r"[0-9a-f]{10}")
_ID, _SYSTEM, _USER = ("\ue000offpeak-" + name + "\ue001" for name in ("id", "system", "user"))


class Fingerprints:
    """Names requests. Model, parameters and answer schema are hashed once, the texts per request.

    `max_output_tokens` is left out on purpose: more room does not change an answer that fitted.
    """

    def __init__(self, provider: str, ask: Ask) -> None:
        decides = {
            "provider": provider,
            "model": ask.model,
            "params": dict(ask.params),
            "kind": ask.form.kind,
            "schema": ask.form.schema,
            "dimensions": ask.form.dimensions,
        }
        text = orjson.dumps(decides, option=orjson.OPT_SORT_KEYS)
        self._base = hashlib.blake2b(text, digest_size=FINGERPRINT_BYTES)

    def of(self, system: str, user: str) -> str:
        """32 hex digits."""
        made = self._base.copy()
        first = system.encode()
        made.update(len(first).to_bytes(8, "little"))
        made.update(first)
        made.update(user.encode())
        return made.hexdigest()


def custom_id(tag: str, fingerprint: str) -> str:
    """Valid on every provider ([A-Za-z0-9_-], at most 64), and proof of the shard it belongs to."""
    return f"{tag}-{fingerprint}"


def read_custom_id(custom_id: str, tag: str) -> str | None:
    """The fingerprint, or None when the id is not of the shard with this tag."""
    head, _, fingerprint = custom_id.partition("-")
    return fingerprint if head == tag and len(fingerprint) == 2 * FINGERPRINT_BYTES else None


def is_tag(text: str) -> bool:
    """Whether it looks like a shard's tag: what is ours at a provider is known by it."""
    return _TAG.fullmatch(text) is not None


def tag_of(custom_id: str) -> str:
    """The tag in a custom_id of ours, "" for any other."""
    tag = custom_id.partition("-")[0]
    return tag if is_tag(tag) and read_custom_id(custom_id, tag) is not None else ""


@dataclass(frozen=True)
class LineForm:
    """One line of a shard file as constant bytes around three strings: what `slow_line` makes, faster."""

    parts: tuple[bytes | str, ...]
    """Constant bytes, and the names `id`, `system`, `user` where the escaped strings go."""

    @classmethod
    def of(cls, provider: Provider, ask: Ask, *, with_system: bool) -> LineForm:
        """Cut the line of a request made of three marks once around them."""
        line = slow_line(provider, ask, _ID, _SYSTEM if with_system else "", _USER)
        parts: list[bytes | str] = [line]
        for name, mark in (("id", _ID), ("system", _SYSTEM), ("user", _USER)):
            if name == "system" and not with_system:
                continue
            parts = _cut(parts, name, orjson.dumps(mark))
        return cls(tuple(parts))

    def writer(self) -> Callable[[str, str, str], bytes]:
        """A function (custom_id, system, user) → the line with its newline."""
        dumps = orjson.dumps
        parts = self.parts
        order = {"id": 0, "system": 1, "user": 2}

        def write(*texts: str) -> bytes:
            return b"".join(part if isinstance(part, bytes) else dumps(texts[order[part]]) for part in parts)

        return write


def _cut(parts: list[bytes | str], name: str, mark: bytes) -> list[bytes | str]:
    made: list[bytes | str] = []
    for part in parts:
        if isinstance(part, str):
            made.append(part)
            continue
        pieces = part.split(mark)
        for index, piece in enumerate(pieces):
            if index:
                made.append(name)
            made.append(piece)
    if made.count(name) != 1:
        raise AssertionError(f"the provider's body holds the {name} text {made.count(name)} times, not once")
    return made


def slow_line(provider: Provider, ask: Ask, custom_id: str, system: str, user: str) -> bytes:
    """The obvious way to write one line of a shard file."""
    return dump_line(provider.line(ask, custom_id, provider.body(ask, system=system, user=user)))


def dump_line(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

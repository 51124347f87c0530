"""Requests: a row rendered for one model, named by a fingerprint of everything that decides the answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.arrays import blob, fixed_texts, offsets_of, only, texts
from offpeak.compiled.library import library
from offpeak.providers.provider import Ask, Provider

if TYPE_CHECKING:
    import pyarrow as pa

FINGERPRINT_BYTES = 16
TAG_BYTES = 10
CUSTOM_ID_BYTES = TAG_BYTES + 1 + 2 * FINGERPRINT_BYTES
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
        self._decides = text
        self._base = hashlib.blake2b(text, digest_size=FINGERPRINT_BYTES)

    def of(self, system: str, user: str) -> str:
        """32 hex digits."""
        made = self._after(system.encode())
        made.update(user.encode())
        return str(made.hexdigest())

    def of_column(self, systems: pa.Array | None, users: pa.Array, *, system: str | None) -> pa.Array:
        """The fingerprint of each row of two string arrays, as strings; null where the user text is null.

        `system` is the system text where all rows have the same one, and nothing else is looked at then.
        """
        if library() is not None:
            prints = self._compiled(systems, users, system)
            return only(users.is_valid(), prints) if users.null_count else prints
        if system is not None:
            befores: Iterable[Any] = repeat(self._after(system.encode()))
        else:
            said = _values(systems)
            after = {one: self._after(one) for one in set(said)}
            befores = map(after.__getitem__, said)
        digests = []
        pairs = zip(befores, _values(users), strict=False)  # one `before` may stand for all
        for before, data in pairs:  # no call of ours in here: it is gone through for every row
            made = before.copy()
            made.update(data)
            digests.append(made.digest())
        prints = fixed_texts(b"".join(digests).hex().encode(), 2 * FINGERPRINT_BYTES)
        return only(users.is_valid(), prints) if users.null_count else prints

    def _compiled(self, systems: pa.Array | None, users: pa.Array, system: str | None) -> pa.Array:
        from offpeak.compiled import writing

        if system is None:
            return writing.fingerprints(self._decides, systems, users)
        said = system.encode()
        return writing.fingerprints(self._decides + len(said).to_bytes(8, "little") + said, None, users)

    def _after(self, system: bytes) -> Any:
        """The hash of all that decides but the user text."""
        made = self._base.copy()
        made.update(len(system).to_bytes(8, "little"))
        made.update(system)
        return made


def told_apart(prints: pa.Array, marks: pa.Array) -> pa.Array:
    """The fingerprints, with another one, the same for the same mark, wherever the mark is not empty."""
    pairs = zip(prints.to_pylist(), marks.to_pylist(), strict=True)
    return texts([_marked(one, mark) if one and mark else one for one, mark in pairs])


def _marked(fingerprint: str, mark: str) -> str:
    return hashlib.blake2b(f"{fingerprint} {mark}".encode(), digest_size=FINGERPRINT_BYTES).hexdigest()


def _values(column: pa.Array) -> list[bytes]:
    """The bytes of each value of a string array; empty for a null."""
    import pyarrow as pa

    found: list[bytes] = column.cast(pa.binary()).to_pylist()
    return [value or b"" for value in found] if column.null_count else found


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

    @property
    def constant_bytes(self) -> int:
        """Bytes of a line beside its texts, id and newline included."""
        fixed = sum(len(part) for part in self.parts if isinstance(part, bytes))
        return fixed + 2 * sum(isinstance(part, str) for part in self.parts) + CUSTOM_ID_BYTES

    def lines(self, tag: str, prints: pa.Array, **texts: pa.Array | bytes) -> pa.Buffer:
        """The lines of many requests, one after the other.

        `texts` are `user`, and `system` in a form that has one: JSON text without its quotes (see
        json_text.py), a binary array as long as `prints`, or the bytes that are the same in every line.
        """
        import pyarrow.compute as pc

        columns = [
            blob(part) if isinstance(part, bytes) else part for part in self._around(tag, prints, texts)
        ]
        joined = pc.binary_join_element_wise(*columns, blob(b""))
        first, *_, last = offsets_of(joined)
        return joined.buffers()[2].slice(int(first), int(last - first))

    def compiled_lines(self, tag: str, prints: pa.Array, size: int, **texts: pa.Array | bytes) -> pa.Buffer:
        """The same by the compiled code, `size` bytes in all; texts that are strings are not JSON text yet."""
        from offpeak.compiled import writing

        return writing.lines(self._around(tag, prints, texts), len(prints), size)

    def _around(
        self, tag: str, prints: pa.Array, texts: Mapping[str, pa.Array | bytes]
    ) -> list[bytes | pa.Array]:
        """What a line consists of: bytes that are the same in each, and columns."""
        import pyarrow as pa

        parts: list[Any] = [b""]
        for part in self.parts:
            pieces: tuple[Any, ...] = (part,)
            if isinstance(part, str):
                inner = (f"{tag}-".encode(), prints.cast(pa.binary())) if part == "id" else (texts[part],)
                pieces = (b'"', *inner, b'"')
            for piece in pieces:
                if isinstance(piece, bytes) and isinstance(parts[-1], bytes):
                    parts[-1] += piece
                else:
                    parts.append(piece)
        return parts


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

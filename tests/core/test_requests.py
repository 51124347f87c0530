"""Requests: fingerprints of what decides, ids that every provider takes, and lines written fast."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offpeak.compiled.library import library
from offpeak.json_text import escaped
from offpeak.providers import names, provider
from offpeak.providers.provider import AnswerForm, Ask
from offpeak.requests import Fingerprints, LineForm, custom_id, read_custom_id, slow_line
from offpeak.shards import new_tag

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"type": "string", "enum": ["a", "b"]}},
    "required": ["kind"],
    "additionalProperties": False,
}
ASK = Ask(
    model="gpt-5-mini",
    form=AnswerForm(kind="object", name="Kind", schema=SCHEMA),
    params={"reasoning": {"effort": "low"}, "user": "u"},
)
FORMS = {
    "object": ASK.form,
    "text": AnswerForm(kind="text"),
    "vector": AnswerForm(kind="vector", dimensions=8),
}
TEXT = st.text(st.characters(codec="utf-8"), max_size=50)
MARKS = [f"\ue000offpeak-{name}\ue001" for name in ("id", "system", "user")]
HOSTILE = st.sampled_from(
    [
        *MARKS,
        "".join(MARKS),
        "\u2028\u2029\x85\x0b\x0c\r\n",
        "\x00\x01\x7f",
        '"}\n{"custom_id": "evil"}',
        "\\u0000\\",
        "🏦" * 3,
        "x" * 1_000_000,
    ]
)


def asks(name: str) -> list[Ask]:
    kinds = FORMS if name == "openai" else {kind: FORMS[kind] for kind in ("object", "text")}
    return [dataclasses.replace(ASK, form=form, params={}) for form in kinds.values()]


CASES = [(name, ask) for name in names() for ask in asks(name)]
IDS = [f"{name}-{ask.form.kind}" for name, ask in CASES]


@pytest.mark.parametrize(("name", "ask"), CASES, ids=IDS)
@settings(max_examples=60, deadline=None)
@given(system=TEXT | HOSTILE, user=TEXT | HOSTILE)
@example(system="", user=MARKS[1])
@example(system=MARKS[2], user=MARKS[0])
def test_a_fast_line_is_the_slow_line_for_any_text(name: str, ask: Ask, system: str, user: str) -> None:
    system = "" if ask.form.kind == "vector" else system
    form = LineForm.of(provider(name), ask, with_system=bool(system))
    fingerprint = Fingerprints(name, ask).of(system, user)
    own_id = custom_id("0123456789", fingerprint)
    others = ["", user, '"', user]
    prints = pa.array([fingerprint] * len(others))
    texts = {"system": escaped(pa.array([system]))[0].as_py()} if system else {}
    lines = form.lines("0123456789", prints, user=escaped(pa.array(others)), **texts).to_pybytes()
    assert lines == b"".join(slow_line(provider(name), ask, own_id, system, other) for other in others)
    if system:
        texts = {"system": escaped(pa.array([system] * len(others)))}
        assert form.lines("0123456789", prints, user=escaped(pa.array(others)), **texts).to_pybytes() == lines
    if library() is not None:
        made = form.compiled_lines("0123456789", prints, len(lines), user=pa.array(others), **texts)
        assert made.to_pybytes() == lines
    line = lines.split(b"\n")[1] + b"\n"
    assert len(line) == form.constant_bytes + sum(
        len(escaped(pa.array([text]))[0].as_py()) for text in (system, user)
    )
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert provider(name).custom_id(orjson.loads(line)) == own_id


def test_a_body_that_says_a_text_twice_is_a_bug_and_told() -> None:
    class Twice:
        def __getattr__(self, name: str) -> Any:
            return getattr(provider("openai"), name)

        def body(self, ask: Ask, *, system: str, user: str) -> dict[str, Any]:
            return {"input": user, "again": user}

    with pytest.raises(AssertionError, match="holds the user text 2 times"):
        LineForm.of(Twice(), ASK, with_system=False)  # type: ignore[arg-type]


# -- fingerprints


def fingerprint(name: str = "openai", system: str = "s", user: str = "u", **changes: Any) -> str:
    return Fingerprints(name, dataclasses.replace(ASK, **changes)).of(system, user)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "anthropic"},
        {"system": "s2"},
        {"system": ""},
        {"user": "u "},
        {"model": "gpt-5"},
        {"params": {"reasoning": {"effort": "high"}, "user": "u"}},
        {"params": {}},
        {"form": FORMS["text"]},
        {"form": dataclasses.replace(ASK.form, schema={**SCHEMA, "description": "d"})},
        {"form": AnswerForm(kind="vector", dimensions=8)},
    ],
    ids=str,
)
def test_everything_that_decides_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert fingerprint(**change) != fingerprint()


def test_the_length_of_a_vector_decides() -> None:
    eight, nine = (fingerprint(form=AnswerForm(kind="vector", dimensions=n)) for n in (8, 9))
    assert eight != nine


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"max_output_tokens": 9},
        {"params": {"user": "u", "reasoning": {"effort": "low"}}},
        {"form": dataclasses.replace(ASK.form, schema=dict(reversed(SCHEMA.items())))},
        {"form": dataclasses.replace(ASK.form, name="Other")},
    ],
    ids=str,
)
def test_nothing_else_changes_it(change: dict[str, Any]) -> None:
    assert fingerprint(**change) == fingerprint()


def test_a_fingerprint_is_the_same_in_every_process_and_release() -> None:
    # a change of this value asks every row of every user once more
    assert fingerprint() == Fingerprints("openai", ASK).of("s", "u")
    plain = Ask(model="m", form=AnswerForm(kind="text"))
    assert Fingerprints("openai", plain).of("system", "user") == "b65cfbcb68eb1c8beba7fc45df638697"


@given(one=st.tuples(TEXT, TEXT), other=st.tuples(TEXT, TEXT))
@example(one=("ab", "c"), other=("a", "bc"))
@example(one=("", "a"), other=("a", ""))
@example(one=("a\x00", "b"), other=("a", "\x00b"))
def test_where_the_system_text_ends_is_never_confused(one: tuple[str, str], other: tuple[str, str]) -> None:
    prints = Fingerprints("openai", ASK)
    assert (prints.of(*one) == prints.of(*other)) == (one == other)


# -- custom ids


@given(user=TEXT)
def test_a_custom_id_is_valid_on_every_provider_and_proves_its_shard(user: str) -> None:
    tag, name = new_tag(), fingerprint(user=user)
    made = custom_id(tag, name)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", made)
    assert read_custom_id(made, tag) == name
    assert read_custom_id(made, new_tag()) is None


@given(st.text())
def test_any_other_text_is_no_custom_id_of_the_shard(text: str) -> None:
    assert read_custom_id(text, "0123456789") is None


@pytest.mark.parametrize(
    "made", ["", "-", "0123456789", "0123456789-", "0123456789-short", "0123456789-" + "a" * 33]
)
def test_an_id_of_another_length_is_refused(made: str) -> None:
    assert read_custom_id(made, "0123456789") is None


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(TEXT, st.none() | TEXT), min_size=1, max_size=6),
    first=st.integers(0, 2),
    one_system=st.booleans(),
)
def test_fingerprints_of_a_column_are_those_of_its_texts(
    pairs: list[tuple[str, str | None]], first: int, one_system: bool
) -> None:
    prints = Fingerprints("openai", ASK)
    if one_system:
        pairs = [(pairs[0][0], user) for _, user in pairs]
    systems, users = (pa.array(column, pa.string())[first:] for column in zip(*pairs, strict=True))
    made = prints.of_column(systems, users, system=pairs[0][0] if one_system else None)
    assert made.to_pylist() == [
        None if user is None else prints.of(system, user) for system, user in pairs[first:]
    ]

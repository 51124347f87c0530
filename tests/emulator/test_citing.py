"""The stand-in cites ids that stand in the text, where a schema asks for ids."""

from __future__ import annotations

from typing import Any

from offpeak.emulator.schema import Source, compile_schema

STATEMENT = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "items": {"type": "array", "items": {"type": "string"}}},
    "required": ["text", "items"],
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "headline": {"type": "string"},
        "statements": {"type": "array", "items": STATEMENT, "description": "(maxItems: 4)"},
    },
    "required": ["headline", "statements"],
}
TEXT = """About: cards

[#T1] The terminal refuses the card. Please help.
[#T2] The terminal refuses the card again.
[#T3 #T4] A wallet was stolen in Leeds.
[#T5] (part 2 of 3) The pin is blocked since Monday.
"""


def test_statements_are_sentences_of_the_text_and_cite_the_marks_that_they_stand_under() -> None:
    answer = compile_schema(SCHEMA)(Source(TEXT))
    cites = {said["text"]: said["items"] for said in answer["statements"]}
    assert cites["The terminal refuses the card."] == ["T1", "T2"]
    assert cites["A wallet was stolen in Leeds."] == ["T3", "T4"]
    assert not any("#" in text or "About" in text or "part 2" in text for text in cites)
    assert answer["headline"] in TEXT
    assert len(answer["statements"]) <= 4


def test_without_marks_an_array_of_names_is_strings_like_any_other() -> None:
    answer = compile_schema(STATEMENT)(Source("The terminal refuses the card. A wallet was stolen."))
    assert answer["items"]
    assert all(isinstance(one, str) for one in answer["items"])


def test_a_limit_that_is_told_in_words_is_kept() -> None:
    schema = {"type": "string", "description": "(maxLength: 20)"}
    assert len(compile_schema(schema)(Source("A sentence that is much longer than that."))) <= 20

"""The stand-in model: deterministic, useful, and always within the schema."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from offpeak.emulator import embeddings, text, tokens
from offpeak.emulator.labels import Labels
from offpeak.emulator.model import Prompt, StandIn
from offpeak.emulator.schema import Source, compile_schema
from offpeak.emulator.wire import ApiError

TICKET = "I was charged twice for 3 shirts on 2026-02-14 at 10:30. It is urgent! Write to ana@example.org."


def fitted(schema: dict[str, Any], user: str = TICKET, system: str = "") -> Any:
    return compile_schema(schema, system=system)(Source(user))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 7}, 7),
        ({"enum": ["refund", "charged_twice"]}, "charged_twice"),
        ({"enum": ["topUpFailed", "cardLost"]}, "cardLost"),
        ({"enum": [1, 2, 3]}, 3),
        ({"type": "integer"}, 3),
        ({"type": "integer", "minimum": 10, "maximum": 12}, 10),
        ({"type": "number", "exclusiveMinimum": 5}, 2026.0),
        ({"type": "string", "format": "date"}, "2026-02-14"),
        ({"type": "string", "format": "date-time"}, "2026-02-14T10:30:00Z"),
        ({"type": "string", "format": "email"}, "ana@example.org"),
        ({"type": "string", "maxLength": 10}, "I was"),
        ({"type": "null"}, None),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 3),
        ({"type": ["string", "null"], "maxLength": 5}, "I was"),
        ({"type": "object", "properties": {"urgent": {"type": "boolean"}}}, {"urgent": True}),
        ({"type": "object", "properties": {"cancelled": {"type": "boolean"}}}, {"cancelled": False}),
    ],
)  # fmt: skip
def test_a_value_is_taken_from_the_text_where_the_schema_lets_it(schema: dict[str, Any], value: Any) -> None:
    user = "I lost my card" if "cardLost" in schema.get("enum", ()) else TICKET
    assert fitted(schema, user) == value


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 3, "maxLength": 12},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "parts", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
MIXED = {
    "type": "object",
    "properties": {
        "scores": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}, "minItems": 3},
        "kind": {"allOf": [{"type": "string"}, {"enum": ["a", "b"]}]},
        "step": {"type": "integer", "multipleOf": 5, "minimum": 1},
        "when": {"type": "string", "format": "date-time"},
        "id": {"type": "string", "format": "uuid"},
    },
    "required": ["scores", "kind", "step", "when", "id"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("schema", [TREE, MIXED], ids=["recursive", "mixed"])
@pytest.mark.parametrize("user", [TICKET, "", "\u2028\ud83d\ude00", "7"])
def test_any_text_gives_a_value_the_schema_accepts(schema: dict[str, Any], user: str) -> None:
    user = user.encode("utf-16", "surrogatepass").decode("utf-16")
    jsonschema.validate(fitted(schema, user), schema)


def test_a_schema_that_is_none_is_the_callers_mistake() -> None:
    schema = {"type": "array", "minItems": "two"}
    with pytest.raises(ApiError, match=r"400 .*Invalid schema"):
        StandIn().answer(Prompt(model="gpt-4.1-mini", system="", user=TICKET, schema=schema))


def test_hostile_texts_are_answered_within_the_schema(data_folder: Path) -> None:
    lines = (data_folder / "robustness" / "naughty_strings.jsonl").read_bytes().split(b"\n")
    texts = [json.loads(line)["text"] for line in lines if line]
    fit, seen = compile_schema(MIXED), jsonschema.Draft202012Validator(MIXED)
    assert len(texts) > 300
    assert all(seen.is_valid(fit(Source(hostile))) for hostile in [*texts, "9" * 400, "1e999"])


def test_descriptions_in_the_system_text_decide_between_labels_whose_names_say_nothing() -> None:
    system = "Choose one:\n- A1: the customer lost a card\n- B2: the customer wants money back"
    labels = {"enum": ["A1", "B2"]}
    assert fitted(labels, "My wallet with the card is lost", system) == "A1"
    assert fitted(labels, "Give me my money back", system) == "B2"


def test_ties_go_to_the_first_label_and_other_is_for_what_fits_nothing() -> None:
    assert fitted({"enum": ["alpha", "beta"]}, "Zebra") == "alpha"
    assert fitted({"enum": ["refund", "other"]}, "Zebra") == "other"


def test_banking_queries_are_sorted_by_label_names_alone_far_better_than_chance(data_folder: Path) -> None:
    table = pq.read_table(data_folder / "tickets" / "banking77_test.parquet").to_pydict()
    labels = Labels(sorted(set(table["category"])))
    rows = list(zip(table["text"], table["category"], strict=True))[::4]
    right = sum(labels.choose(Counter(text.stems(query))) == label for query, label in rows)
    assert right / len(rows) > 0.5  # chance is 0.013


def test_the_same_prompt_gets_the_same_answer() -> None:
    prompt = Prompt(model="gpt-4.1-mini", system="", user=TICKET, schema=MIXED)
    assert StandIn().answer(prompt) == StandIn().answer(prompt)


def test_a_summary_takes_sentences_of_the_text_in_their_order_within_the_limit() -> None:
    user = " ".join(f"Sentence {number} speaks of cards and of card fees." for number in range(20))
    answer = StandIn().answer(Prompt(model="gpt-4.1-mini", system="", user=user, max_tokens=30))
    assert answer.finish == "stop"
    assert answer.output_tokens <= 30
    places = [user.index(sentence) for sentence in text.sentences(answer.text)]
    assert places == sorted(places)


def test_reasoning_is_billed_for_reasoning_models_only_and_not_without_effort() -> None:
    def spent(model: str, effort: str | None = None) -> int:
        prompt = Prompt(model=model, system="", user=TICKET, effort=effort)
        return StandIn().answer(prompt).reasoning_tokens

    assert spent("gpt-5-mini") > 0
    assert spent("o4-mini") > 0
    assert spent("gpt-4.1-mini") == 0
    assert spent("gpt-5-mini", "none") == 0


def test_near_texts_have_near_vectors() -> None:
    first, near, far = (
        embeddings.vector(found, 256)
        for found in ("My card was stolen", "Somebody stole my cards", "The weather in Lisbon is fine")
    )
    assert float(first @ near) > float(first @ far) + 0.2
    assert float(first @ first) == pytest.approx(1.0)
    assert embeddings.vector("", 8).shape == (8,)


def test_tokens_are_counted_by_bytes_and_cut_between_characters() -> None:
    assert tokens.count("") == 0
    assert tokens.count("four") == 1
    assert tokens.count("fives") == 2
    assert tokens.cut("äöü and more", 1) == "äö"
    assert json.dumps(tokens.cut("aaa\u2028", 1)) == '"aaa"'

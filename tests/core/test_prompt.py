"""Prompts: the fast way of writing rows equals Jinja's, nulls are refused, and nothing else is reached."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import jinja2
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.errors import SpecError
from offpeak.prompt import Field, NullInPrompt, Prompt, Template, as_text
from offpeak.render import rendered

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
COLUMNS = ("a", "b", "items", "keys", "get", "a b")
TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), TEXT),
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float": (pa.float64(), st.floats()),
    "bool": (pa.bool_(), st.booleans()),
    "decimal": (pa.decimal128(20, 4), st.decimals(-(10**9), 10**9, places=4)),
    "date": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "moment": (pa.timestamp("us", tz="UTC"), st.datetimes(timezones=st.just(UTC))),
    "list": (pa.list_(pa.string()), st.lists(st.none() | TEXT, max_size=3)),
    "struct": (
        pa.struct([("x", pa.int64()), ("y", pa.list_(pa.date32()))]),
        st.fixed_dictionaries({"x": st.none() | st.integers(-5, 5), "y": st.lists(st.dates(), max_size=2)}),
    ),
}
CONSTANT = TEXT.filter(lambda text: "{" not in text and "}" not in text)
PLAIN = st.sampled_from([f'{{{{ row["{name}"] }}}}' for name in COLUMNS] + ["{{ row.a }}", "{{row.items}}"])
FILTERS = st.sampled_from(
    [
        "{{ row.a | string | upper }}",
        '{{ row["b"] ~ "x" }}',
        "{{ row.a if row.a else row.b }}",
        "{{ [row.a] | length }}",
    ]
)


@st.composite
def records(draw: st.DrawFn, *, nulls: bool = True) -> pa.RecordBatch:
    """A few rows with every column that the templates may name, of any types."""
    count = draw(st.integers(1, 3))
    arrays = {}
    for name in COLUMNS:
        kind, values = TYPES[draw(st.sampled_from(sorted(TYPES)))]
        value = st.none() | values if nulls else values
        arrays[name] = pa.array(draw(st.lists(value, min_size=count, max_size=count)), kind)
    return pa.RecordBatch.from_pydict(arrays)


def shown(texts: Any) -> list[str]:
    """Rendered texts as they are; problems as their words."""
    return [text if isinstance(text, str) else f"NullInPrompt: {text}" for text in texts]


@settings(max_examples=80, deadline=None)
@given(parts=st.lists(CONSTANT | PLAIN, max_size=6), rows=records())
def test_joined_segments_say_what_jinja_says_for_every_kind_of_value(
    parts: list[str], rows: pa.RecordBatch
) -> None:
    template = Template("".join(parts))
    assert template.segments is not None
    assert shown(template.render(rows)) == shown(template._render_rich(rows))
    for part in (rows, rows.slice(1)):  # a slice begins in the middle of its buffers
        fast = rendered(template, part)
        texts = fast.texts.to_pylist()
        assert shown(
            NullInPrompt(fast.problems[row]) if row in fast.problems else text
            for row, text in enumerate(texts)
        ) == shown(template.render(part))
        assert all(texts[row] is None for row in fast.problems)
        assert fast.constant == (template.text if template.constant else None)


@settings(max_examples=80, deadline=None)
@given(parts=st.lists(CONSTANT | PLAIN | FILTERS, max_size=6), rows=records(nulls=False))
def test_without_nulls_a_template_says_what_plain_jinja_says(parts: list[str], rows: pa.RecordBatch) -> None:
    text = "".join(parts).replace("row.items", 'row["items"]')
    plain = jinja2.Environment(finalize=as_text, keep_trailing_newline=True).from_string(text)
    assert list(Template("".join(parts)).render(rows)) == [plain.render(row=row) for row in rows.to_pylist()]


def one(template: str, **row: Any) -> str | NullInPrompt:
    (text,) = Template(template).render(pa.RecordBatch.from_pylist([row]))
    return text


def test_values_are_written_as_a_person_would() -> None:
    assert one("{{ row.v }}", v=True) == "true"
    assert one("{{ row.v }}", v=Decimal("1.50")) == "1.50"
    assert one("{{ row.v }}", v=date(2026, 3, 1)) == "2026-03-01"
    assert one("{{ row.v }}", v=time(7, 5)) == "07:05:00"
    assert one("{{ row.v }}", v=datetime(2026, 3, 1, 8, tzinfo=UTC)) == "2026-03-01T08:00:00+00:00"
    assert one("{{ row.v }}", v=["ä", None]) == '["ä", null]'
    assert one("{{ row.v }}", v={"d": date(2026, 3, 1), "n": {"m": None}}) == (
        '{"d": "2026-03-01", "n": {"m": null}}'
    )


# -- nulls


@pytest.mark.parametrize(
    "template",
    [
        "{{ row.a }}",
        "{{ row['a'] }}",
        "{{ row.a | upper }}",
        "{{ row.a | trim }}",
        "{{ row.a ~ '' }}",
        "{{ '%s' | format(row.a) }}",
        "{{ [row.b, row.a] | join(', ') }}",
        "{{ row.a | e }}",
        "{% set x = row.a %}{{ x }}",
        "{{ row.a | default('none given') }}",
    ],
)
def test_a_null_is_refused_by_its_column_however_it_is_written(template: str) -> None:
    problem = one(template, a=None, b="there")
    assert isinstance(problem, NullInPrompt)
    assert "the prompt needs a, which is null in this row" in str(problem)
    assert "{{ row.a or '' }}" in str(problem)


def test_a_null_deep_in_a_column_is_named_by_its_place() -> None:
    problem = one("{{ row.place.city | upper }}", place={"city": None, "zip": "1"})
    assert "the prompt needs place.city" in str(problem)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ row.a or '-' }}", "-"),
        ("{% if row.a %}yes{% else %}no{% endif %}", "no"),
        ("{% if row.a is none %}null{% endif %}", "null"),
        ("{% if row.a == none %}null{% endif %}", "null"),
        ("{{ 'null' if row.a is none else row.a }}", "null"),
        ("{{ row.a | default('-', true) }}", "-"),
        ("{{ row.a | tojson }}", "null"),
        ("{{ row }}", '{"a": null, "b": "there"}'),
        ("{{ row | tojson }}", '{"a": null, "b": "there"}'),
        ("{{ row.b }}", "there"),
    ],
)
def test_a_null_that_the_template_thinks_of_is_fine(template: str, text: str) -> None:
    assert one(template, a=None, b="there") == text


@pytest.mark.parametrize(
    "template", ["{{ row.a + 1 }}", "{{ row.a.b }}", "{{ row.a[0] }}", "{{ row.a | length }}"]
)
def test_a_template_that_fails_over_a_null_names_it(template: str) -> None:
    problem = one(template, a=None)
    assert isinstance(problem, NullInPrompt)
    assert "failed on this row" in str(problem)
    assert "null in this row: a" in str(problem)


def test_a_failing_row_leaves_the_others_alone() -> None:
    rows = pa.RecordBatch.from_pylist([{"n": 2}, {"n": 0}, {"n": 4}])
    first, second, third = Template("{{ 8 // row.n }}").render(rows)
    assert (first, third) == ("4", "2")
    assert "integer division or modulo by zero" in str(second)


# -- what a template may not do


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ row.a", "does not parse, line 1"),
        ("one\ntwo {% if %}", "line 2"),
        ("{{ text }}", "uses text; only `row` is known there. Write {{ row.column }}."),
        ("{{ loop.index }}", "uses loop"),
        ("{{ row.a | nope }}", "line 1: No filter named 'nope'."),
        ("x\n{% if row.a %}{{ row.b | nope }}{% endif %}", "line 2, uses the filter 'nope'"),
        ("{% if row.a is nope %}{% endif %}", "the test 'nope'"),
        ("{% include 'other' %}", "reads another template"),
        ("{% extends 'other' %}", "reads another template"),
        ("{{ row.a | random }}", "'random'"),
        ("{{ lipsum() }}", "lipsum"),
        ("{{ row.tickets() }}", "calls row.tickets(); a row has the methods get, items, keys, values"),
        ("a \ud800 b", "half a character pair"),
    ],
)
@pytest.mark.parametrize("part", ["user", "system"])
def test_a_wrong_template_is_found_when_the_file_is_parsed(part: str, template: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        Prompt(**{"user": "{{ row.a }}", part: template})
    assert f"The prompt's {part} template" in str(caught.value)
    assert says in str(caught.value)
    assert ".." not in str(caught.value)


@pytest.mark.parametrize("text", ["", "  \n", None, 3])
def test_a_prompt_without_text_is_refused(text: Any) -> None:
    with pytest.raises(SpecError, match="user text is"):
        Prompt(user=text)


@pytest.mark.parametrize(
    "template",
    [
        "{{ row.a.__class__ }}",
        "{{ row.a.__class__.__mro__ }}",
        "{{ row.__class__.__base__.__subclasses__() }}",
        "{{ row['__class__'] ~ '' }}",
        "{{ (row.a | attr('__class__')) }}",
        "{{ row.get.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% set _ = row.update({'b': 1}) %}{{ row.a }}",
        "{{ row.l.append('x') }}",
        "{{ '{0.__class__}'.format(row.a) }}",
        "{{ row.a.upper }}",
        "{{ row.a | map('upper') }}",
        "{{ row.get }}",
    ],
)
def test_the_sandbox_gives_nothing_away(template: str) -> None:
    try:
        made = Template(template)
    except SpecError:
        return
    if made.columns is None or made.columns <= {"a", "l"}:
        problem = one(template, a="text", l=["x"])
        assert isinstance(problem, NullInPrompt), problem
        assert "class '" not in str(problem)
        assert " at 0x" not in str(problem)
    else:
        assert made.columns - {"a", "l"}, "a column that no source has: refused when the rows are opened"


def test_a_text_that_cannot_be_sent_is_a_problem_of_its_row() -> None:
    problem = one("{{ '%c' | format(row.n) }}", n=0xD800)
    assert "half a character pair" in str(problem)
    assert one("{{ '%c' | format(row.n) }}", n=0xE4) == "ä"


# -- which columns


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("nothing", set()),
        ("{{ row.a }} {{ row['b c'] }}", {"a", "b c"}),
        ("{{ row.a.b.c }}", {"a"}),
        ("{{ row.a | upper }}{% if row.b %}{{ row.c }}{% endif %}", {"a", "b", "c"}),
        ("{{ row.items }}{{ row.keys | string }}", {"items", "keys"}),
        ("{{ row.a.upper() }}", {"a"}),
        ("{{ row.__class__ }}", {"__class__"}),
        ("{{ row[row.a] }}", None),
        ("{{ row.items() }}", None),
        ("{{ row.get('a') }}", None),
        ("{{ row }}", None),
        ("{% for k in row %}{{ k }}{% endfor %}", None),
        ("{% for k, v in row.items() %}{{ k }}{% endfor %}", None),
        ("{{ row | tojson }}", None),
        ("{% set r = row %}{{ r.a }}", None),
        ("{{ row[0] }}", None),
    ],
)
def test_the_columns_that_a_template_reads_are_known(template: str, columns: set[str] | None) -> None:
    assert Template(template).columns == columns


def test_a_column_named_like_a_method_is_the_column_and_the_method_is_there_when_called() -> None:
    row = {"items": "three", "keys": "two"}
    assert one("{{ row.items }} {{ row.keys | upper }}", **row) == "three TWO"
    assert one("{% for k, v in row.items() %}{{ k }}={{ v }};{% endfor %}", **row) == "items=three;keys=two;"
    assert one("{{ row.keys() }}", **row) == '["items", "keys"]'


def test_only_a_text_without_fields_is_constant() -> None:
    assert Template("always\r\nthis").segments == ("always\nthis",)
    assert Template("always").constant
    assert not Template("{{ row.a }}").constant
    assert Template("x{{ row.a }}").segments == ("x", Field("a"))
    assert Template("{% if row.a %}x{% endif %}").segments is None

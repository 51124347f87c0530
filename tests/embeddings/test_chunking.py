"""Chunks: every word once, never too large, and an edit moves only what it touches."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offpeak.embeddings import Chunking
from offpeak.embeddings.chunking import HEADING_BYTES, LIMIT_TOKENS, MOST_TOKENS, Chunk, chunks
from offpeak.embeddings.sections import sections
from offpeak.errors import SpecError
from tests.embeddings.making import WORDS

FORMATS = ("markdown", "rst", "text")
LINES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "",
            "# One",
            "## Two",
            "Title",
            "=====",
            "-----",
            "```",
            "~~~~",
            "> # quoted",
            "- item",
            "---",
            "    code",
        ]
    ),
    st.text(alphabet="ab \u0301\U0001f469\u200d\U0001f4bb中é", max_size=200),
    st.integers(1, 900).map(lambda count: "x" * count),
)
DOCUMENTS = st.lists(LINES, max_size=40).map("\n".join)


def cut(document: str, chunking: Chunking | None = None, key: str = "d", title: str = "Guide") -> list[Chunk]:
    return list(chunks(document, key, title, chunking or Chunking()))


def words(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=150, deadline=None)
@given(document=DOCUMENTS, most=st.integers(32, 120))
@example(document="e" + "\u0301" * 500, most=32)
@example(document="\U0001f469\u200d" * 300, most=32)
def test_the_chunks_of_a_document_say_all_of_it_and_fit(form: str, document: str, most: int) -> None:
    chunking = Chunking(format=form, max_tokens=most)  # type: ignore[arg-type]
    made = cut(document, chunking)
    assert words("".join(chunk.text for chunk in made)) == words(document)
    assert max((len(chunk.text.encode()) for chunk in made), default=0) <= chunking.max_bytes
    assert all(chunk.text.strip() for chunk in made)
    assert len({chunk.id for chunk in made}) == len(made)
    assert [chunk.position for chunk in made] == list(range(len(made)))


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=100, deadline=None)
@given(document=DOCUMENTS)
def test_sections_are_the_document_at_its_headings(form: str, document: str) -> None:
    assert "".join(one.text for one in sections(document, form)) == document


def test_the_largest_chunk_that_may_be_asked_for_is_taken_by_the_provider_whatever_its_words() -> None:
    largest = Chunking(max_tokens=MOST_TOKENS).max_bytes
    assert largest + HEADING_BYTES + len("\n\n") <= LIMIT_TOKENS  # a token is at least one byte
    made = cut("\U0001f469" * 9_000, Chunking(max_tokens=MOST_TOKENS), title="界" * 5_000)
    assert max(len(chunk.passage.encode()) for chunk in made) <= LIMIT_TOKENS
    with pytest.raises(SpecError, match="32 to 2,559"):
        Chunking(max_tokens=MOST_TOKENS + 1)


@pytest.mark.parametrize("arguments", [{"format": "pdf"}, {"max_tokens": 10}, {"max_tokens": True}])
def test_a_mistake_in_the_chunking_names_what_there_is(arguments: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=r"use one of markdown, rst, text, html|give 32 to"):
        Chunking(**arguments)  # type: ignore[arg-type]


PARAGRAPHS = [" ".join(WORDS[(n * 7 + k * (n + 3)) % 26] for k in range(30)) + f" {n}." for n in range(120)]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("at", [0, 1, 60, 119])
def test_a_paragraph_that_is_added_makes_few_new_chunks_even_without_any_heading(form: str, at: int) -> None:
    chunking = Chunking(format=form)  # type: ignore[arg-type]
    before = {chunk.passage for chunk in cut("\n\n".join(PARAGRAPHS), chunking)}
    edited = [
        *PARAGRAPHS[:at],
        "Something new stands here, which nobody has read before. " * 8,
        *PARAGRAPHS[at:],
    ]
    after = {chunk.passage for chunk in cut("\n\n".join(edited), chunking)}
    assert len(before) > 20
    assert len(after - before) <= 6


def test_an_edit_renames_no_neighbour_and_a_moved_document_keeps_its_texts() -> None:
    page = "# A\n\nfirst\n\n## B\n\nsecond\n\n## C\n\nthird\n"
    before = cut(page)
    after = cut(page.replace("second", "second, longer"))
    assert [chunk.id for chunk in before][::2] == [chunk.id for chunk in after][::2]
    assert before[1].id != after[1].id
    assert [chunk.passage for chunk in cut(page, key="elsewhere")] == [chunk.passage for chunk in before]


def test_equal_pieces_of_a_document_are_numbered() -> None:
    made = cut("# A\n\n## X\n\nsame\n\n# B\n\n## X\n\nsame\n")
    assert [chunk.heading for chunk in made] == ["Guide > A > X", "Guide > B > X"]
    equal = cut("## X\n\nsame\n\n## X\n\nsame\n")
    assert equal[0].text == equal[1].text
    assert equal[1].id == equal[0].id + "~2"


def test_headings_are_found_where_markdown_has_them_and_nowhere_else() -> None:
    page = (
        "---\ntitle: x\n# not one\n---\nintro\n\n# One [link](http://x) {#anchor}\n\n```bash\n"
        "# a comment\n\nls\n```\n\nTwo\n---\n\ntext\n\n### `Three` ###\n\n- a\n---\nend\n"
    )
    assert [one.headings for one in sections(page, "markdown")] == [
        (),
        ("One link",),
        ("One link", "Two"),
        ("One link", "Two", "Three"),
    ]


def test_a_heading_with_nothing_below_it_joins_the_next_section() -> None:
    made = cut("# Top\n\n## Sub\n\ntext\n")
    assert [(chunk.heading, chunk.text) for chunk in made] == [
        ("Guide > Top > Sub", "# Top\n\n## Sub\n\ntext")
    ]


def test_restructured_text_has_its_headings_by_their_rules() -> None:
    page = (
        "=====\nTitle\n=====\n\nintro\n\nPart\n----\n\none::\n\n    code\n    ----\n\n"
        "Sub\n~~~\n\ntwo\n\nNext\n----\n\nthree\n"
    )
    found = [one.headings for one in sections(page, "rst")]
    assert found == [("Title",), ("Title", "Part"), ("Title", "Part", "Sub"), ("Title", "Next")]


def test_html_keeps_headings_lists_tables_and_code_and_drops_scripts_and_styles() -> None:
    source = """<html><head><title>My page</title><style>p { color: red }</style></head><body>
    <script>if (1 < 2) { alert("<h1>no</h1>") }</script>
    <h1>One</h1><p>Some <b>bold</b> &amp; plain<br>text</p><ul><li>first<li>second</ul>
    <h2>Two</h2><table><tr><th>a</th><td>b</td></tr></table><pre>def f():
    # no heading
    return 1</pre><p># neither</p></body>"""
    made = cut(source, Chunking(format="html"), title="")
    assert [chunk.heading for chunk in made] == ["My page > One", "My page > One > Two"]
    assert made[0].text == "# One\n\nSome bold & plain\ntext\n\n- first\n\n- second"
    assert "a | b" in made[1].text
    assert "```\ndef f():\n    # no heading\n    return 1\n```" in made[1].text
    assert "alert" not in "".join(chunk.text for chunk in made)
    assert "color" not in "".join(chunk.text for chunk in made)


@settings(max_examples=100, deadline=None)
@given(source=st.text(alphabet="<>/hp123prescitle \n&;\"'=abc#`-", max_size=400))
def test_broken_html_is_read_as_well_as_it_goes(source: str) -> None:
    chunking = Chunking(format="html", max_tokens=32)
    assert all(len(chunk.text.encode()) <= chunking.max_bytes for chunk in cut(source, chunking))


def test_windows_line_ends_make_the_same_chunks() -> None:
    page = "# A\n\none\n\n## B\n\ntwo\n"
    assert cut(page.replace("\n", "\r\n")) == cut(page)


def test_hostile_strings_are_cut_to_the_letter(data_folder: Path) -> None:
    texts = pq.read_table(data_folder / "robustness" / "naughty_strings.parquet").column("text").to_pylist()
    for form in FORMATS:
        for text in [*texts, "\n\n".join(texts)]:
            chunking = Chunking(format=form, max_tokens=32)  # type: ignore[arg-type]
            made = cut(text, chunking)
            assert words("".join(chunk.text for chunk in made)) == words(text)
            assert all(len(chunk.text.encode()) <= chunking.max_bytes for chunk in made)

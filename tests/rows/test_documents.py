"""Text files as rows: a corpus in a folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from offpeak import documents
from offpeak.connections import EnvConnections
from offpeak.errors import InputError, SpecError
from offpeak.rows.source import Opening, RowBatch, RowSource
from offpeak.site import Interval
from offpeak.store import Store

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def read(source: RowSource, store: Path, *columns: str, rows: int = 8_192) -> list[RowBatch]:
    opening = Opening(
        store=Store(str(store)),
        connections=EnvConnections(),
        interval=Interval(start=NOW, end=NOW),
        columns=columns or None,
        batch_rows=rows,
    )
    return list(source.batches(opening))


def write(folder: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write(
        tmp_path / "docs",
        a_DOT_md="intro\n\n#  The first one #\n\n## Not this\n",
        deep__er__b_DOT_rst="Long title\n==========\n\ntext\n",
        deep__c_DOT_html="<html><head><TITLE>\n A  page\n</TITLE></head></html>",
        deep__plain_name_DOT_txt="\N{LINE SEPARATOR}only text\r\n",
    )
    return tmp_path


def test_each_file_is_a_row_named_by_its_path_below_the_folder_of_the_address(corpus: Path) -> None:
    (batch,) = read(documents("{store}/docs/**/*.*"), corpus)
    assert batch.records.to_pydict() == {
        "doc_path": ["a.md", "deep/c.html", "deep/er/b.rst", "deep/plain_name.txt"],
        "title": ["The first one", "A page", "Long title", "plain name"],
        "text": [
            "intro\n\n#  The first one #\n\n## Not this\n",
            "<html><head><TITLE>\n A  page\n</TITLE></head></html>",
            "Long title\n==========\n\ntext\n",
            "\N{LINE SEPARATOR}only text\r\n",
        ],
    }
    assert (batch.first, batch.problems) == (1, ())


def test_moving_the_whole_corpus_keeps_every_name(corpus: Path) -> None:
    before = read(documents("{store}/docs/**/*.*"), corpus)[0].records.column("doc_path")
    (corpus / "docs").rename(corpus / "elsewhere")
    assert read(documents("{store}/elsewhere/**/*.*"), corpus)[0].records.column("doc_path") == before


def test_names_do_not_depend_on_which_files_there_are(corpus: Path) -> None:
    (corpus / "docs" / "a.md").unlink()
    (batch,) = read(
        documents(["{store}/docs/**/*.html", "{store}/docs/**/*.*", "{store}/docs/deep/c.html"]), corpus
    )
    assert batch.records.column("doc_path").to_pylist() == [
        "deep/c.html",
        "deep/er/b.rst",
        "deep/plain_name.txt",
    ]


def test_a_file_that_is_no_text_is_a_problem_and_the_others_go_on(corpus: Path) -> None:
    write(corpus / "docs", b_DOT_md=b"caf\xe9", c_DOT_md=b"\xef\xbb\xbf# Marked\n", d_DOT_md=b"x" * 101)
    (batch,) = read(documents("{store}/docs/*.md", max_cell_bytes=100), corpus)
    assert batch.records.column("doc_path").to_pylist() == ["a.md", "c.md"]
    assert batch.records.column("title").to_pylist() == ["The first one", "Marked"]
    latin, long = batch.problems
    assert (latin.number, long.number) == (2, 4)
    assert "b.md: it is not UTF-8 (first at byte 3); convert the file" in latin.reason
    assert latin.excerpt == "caf\\xe9"
    assert "d.md: the file has more than 100 bytes; split it" in long.reason


def test_columns_are_the_wanted_ones_and_batches_stay_small(corpus: Path) -> None:
    batches = read(documents("{store}/docs/**/*.*"), corpus, "text", "doc_path", rows=3)
    assert [batch.records.schema.names for batch in batches] == [["text", "doc_path"]] * 2
    assert [(batch.first, batch.records.num_rows) for batch in batches] == [(1, 3), (4, 1)]


def test_mistakes_are_named(corpus: Path) -> None:
    with pytest.raises(SpecError, match="needs the address of a file"):
        documents("")
    with pytest.raises(InputError, match="has no column 'author'"):
        read(documents("{store}/docs/*.md"), corpus, "doc_path", "author")
    with pytest.raises(InputError, match="No file matches"):
        read(documents("{store}/docs/*.adoc"), corpus)


def test_it_says_where_it_reads() -> None:
    source = documents(["s3://key:secret@bucket/docs/*.md"])
    assert source.describe() == "documents s3://bucket/docs/*.md"
    assert source.key == "doc_path"

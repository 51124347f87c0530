"""Whatever a model, a row or a spec holds, the page loads nothing, runs nothing and stays in shape."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from offpeak.prompt import Prompt
from offpeak.report.wording import shown
from tests.report.desk import refused, said
from tests.report.making import Page, Place, workload

ATTACK = "</script></style></title><img src=x onerror=alert(1)><script>document.title='hit'</script>"
HOSTILE = (
    ATTACK,
    "{{ 7 * 7 }}{% raw %}",
    '" onmouseover="alert(1)" x="',
    "' style='position:fixed",
    "\u202eright to left\u202c \u2066isolated\u2069 \u200bzero",
    "\x00\x07\x1b[31mred\x7f",
    "W" * 10_000,
    "<!-- --><base href=https://evil.example/><meta http-equiv=refresh content=0;url=//evil.example>",
    "]]><svg/onload=alert(1)>&#60;script&#62;",
    '=HYPERLINK("http://evil.example")',
)
ALLOWED = frozenset(
    {
        *(
            "html",
            "head",
            "meta",
            "title",
            "link",
            "style",
            "body",
            "main",
            "header",
            "footer",
            "nav",
            "section",
        ),
        *("h1", "h2", "h3", "p", "strong", "span", "bdi", "code", "time", "a", "br", "details", "summary"),
        *("dl", "dt", "dd", "ul", "li", "div", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    }
)
"""Every element that the templates make."""


def hostile_run(folder: Path, texts: Sequence[str] = HOSTILE) -> tuple[str, dict[str, Any]]:
    """A run in which rows, answers, refusals, reasons and the prompt are hostile."""
    place = Place(folder)
    place.tickets(0, [f"ticket {number} {text}" for number, text in enumerate(texts, 1)])

    def answer(text: str, round_number: int) -> dict[str, Any]:
        number = int(text.split()[1]) - 1
        if number % 3 == 0:
            return refused(texts[number] + "é" * 10_000)
        if number % 3 == 1:
            return said(texts[number], model=f"gpt-5 {ATTACK}")
        return said(json.dumps({"intent": "refund", "confidence": 0.5, "summary": texts[number]}))

    prompt = Prompt(system=f"Sort {ATTACK}".replace("{", ""), user="{{ row.text }}")
    done = place.whole(workload(prompt=prompt, max_failed=0.0), answer)
    note = {"bad_examples": list(texts), "distribution": {ATTACK: {"counts": dict.fromkeys(texts, 1)}}}
    place.site.ledger.note_run(done.run_id, note, now=place.clock())
    return place.report(done.run_id)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    return hostile_run(tmp_path_factory.mktemp("hostile"))


def assert_inert(html: str) -> None:
    """No element, attribute or address that the templates did not make."""
    page = Page(html)
    assert page.tags <= ALLOWED, page.tags - ALLOWED
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert "//" not in (value or ""), (tag, name, value)
            if name == "href":
                assert value == "report.json" or (value or "").startswith(("#", "data:,")), value
            assert name not in ("src", "srcset", "action", "formaction", "background", "srcdoc", "ping")
    style = html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_output_makes_no_element_and_no_load(hostile: tuple[str, dict[str, Any]]) -> None:
    html, _ = hostile
    assert_inert(html)
    assert "<script" not in html
    assert ATTACK[:40] in Page(html).text


def test_the_page_forbids_every_load(hostile: tuple[str, dict[str, Any]]) -> None:
    metas = [attributes for tag, attributes in Page(hostile[0]).elements if tag == "meta"]
    policy = [one["content"] for one in metas if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert [one.get("http-equiv") for one in metas if one.get("http-equiv")] == ["Content-Security-Policy"]


def test_invisible_characters_are_shown_and_not_obeyed(hostile: tuple[str, dict[str, Any]]) -> None:
    html, data = hostile
    for char in "\u202e\u202c\u2066\u2069\u200b\x07\x1b\x7f":
        assert char not in html
    assert "⟨U+202E⟩right to left⟨U+202C⟩" in html
    assert "\u202e" in json.dumps(data, ensure_ascii=False)  # the JSON keeps what was said
    assert shown("👩‍👩‍👧 fine\n") == "👩‍👩‍👧 fine\n"


def test_long_texts_are_cut_and_their_length_is_named(hostile: tuple[str, dict[str, Any]]) -> None:
    html, data = hostile
    text = Page(html).text
    whole = f"{len(ATTACK) + 10_000:,} characters"
    assert f"({whole} in all)" in text
    assert f"The first 300 of {whole} of what came back." in text
    assert "W" * 301 not in text
    letters = [
        one
        for line in data["coverage"]["outcomes"]
        for one in (line["letters"] or {"samples": []})["samples"]
    ]
    assert letters
    assert all(len(one["raw"]) <= 300 and len(one["reason"]) <= 300 for one in letters)
    assert max(one["raw_characters"] for one in letters) >= 10_000


def test_naughty_strings_of_every_kind_stay_text(tmp_path: Path, data_folder: Path) -> None:
    lines = (data_folder / "robustness" / "naughty_strings.jsonl").read_bytes().splitlines()
    # a CSV cell holds neither NUL nor a bare carriage return: those are the rows' tests' business
    texts = [json.loads(line)["text"].replace("\x00", "").replace("\r", " ") for line in lines]
    html, data = hostile_run(tmp_path, texts)
    assert_inert(html)
    assert data["coverage"]["rows"] == len(texts)


def test_templates_hold_no_script_and_no_address() -> None:
    names = [
        "page",
        "headline",
        "coverage",
        "verdict",
        "check",
        "answers",
        "money",
        "time",
        "changes",
        "identity",
    ]
    for name in names:
        text = files("offpeak.report").joinpath(f"{name}.html").read_text(encoding="utf-8")
        assert "<script" not in text, name
        assert "http://" not in text, name
        assert "https://" not in text, name
        assert "| safe" not in text, name
        assert "|safe" not in text, name


def test_a_browser_loads_the_page_without_a_word_of_complaint(
    hostile: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    browser = next((path for path in found if path), None)
    if browser is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    page = tmp_path / "report.html"
    page.write_text(hostile[0], "utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    more = "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --dump-dom"
    done = subprocess.run(
        [browser, *flags.split(), *more.split(), f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
    assert "<title>Refused: ticket_triage/" in done.stdout
    assert_inert(done.stdout)

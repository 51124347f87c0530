"""The page and the letter: complete, inert whatever the items say, and quiet in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from offpeak.digest.edition import Edition, Making, gather_edition
from offpeak.digest.letter import escaped, letter
from offpeak.digest.page import bars, page
from offpeak.pipeline import Finishing
from offpeak.stage import run_of
from tests.digest.making import Desk, item, night, tickets

HOSTILE = "<script>alert('x')</script> <img src=x onerror=alert(1)> [click](javascript:alert(1)) \u202eevil"
TEAM = 'cards"><b>bold</b> | `code` *x* # y'


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Elements()
    parser.feed(text)
    return parser.found


@pytest.fixture
def hostile(desk: Desk) -> Desk:
    rows = [item(f"T-{n}", TEAM, f"{HOSTILE} number {n}.") for n in range(4)]
    desk.items([*rows, item("key <i>&amp;</i> \u202e" + "x" * 20, TEAM, "A quiet one stands here.")])
    desk.finished(desk.digest())
    return desk


def test_hostile_items_stand_escaped_on_the_page(hostile: Desk) -> None:
    text = hostile.text("latest.html")
    tags = {tag for tag, _ in elements(text)}
    assert tags.isdisjoint({"script", "img", "b>", "i", "iframe", "object"})
    assert "&lt;script&gt;" in text
    assert "\u202e" not in text
    assert "⟨U+202E⟩" in text
    links = [attrs["href"] or "" for tag, attrs in elements(text) if tag == "a"]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "default-src 'none'" in text


def test_hostile_items_stand_escaped_in_the_letter(hostile: Desk) -> None:
    text = hostile.text("latest.md")
    assert "<script" not in text
    assert "&lt;script>" in text
    assert "](javascript" not in text.replace("\\](", "")
    assert r"\`code\` \*x\*" in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("# no heading", r"\# no heading"),
        ("1. no list", r"1\. no list"),
        ("- nor this", r"\- nor this"),
        ("a\n\n# b\u2028c", "a # b c"),
        ("see http://evil.example", r"see http\://evil.example"),
        ("[a](b) *c* _d_ <e> &amp; `f` ~g~ |h|", r"\[a\](b) \*c\* \_d\_ &lt;e> &amp;amp; \`f\` \~g\~ \|h\|"),
        ("3.5 kg - as usual", r"3\.5 kg - as usual"),
    ],
)
def test_markdown_reads_no_sign_of_a_text(said: str, written: str) -> None:
    assert escaped(said) == written


def test_every_citation_leads_to_its_item(desk: Desk) -> None:
    desk.items(tickets("cards", 90) + tickets("cash", 5))
    desk.finished(desk.digest())
    found = elements(desk.text("latest.html"))
    ids = [attrs["id"] for _, attrs in found if "id" in attrs]
    links = [attrs["href"] or "" for tag, attrs in found if tag == "a"]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert sum(link.startswith("#i") for link in links) >= 6


def test_items_are_linked_to_where_they_can_be_looked_at(desk: Desk) -> None:
    desk.items([item("T 1/ä", "cards", "The card is lost.")])
    desk.finished(desk.digest(link="https://desk.example/tickets/{item}?a=1"))
    assert 'href="https://desk.example/tickets/T%201%2F%C3%A4?a=1"' in desk.text("latest.html")
    assert "](https://desk.example/tickets/T%201%2F%C3%A4?a=1)" in desk.text("latest.md")


def test_the_latest_is_the_last_night_also_when_an_earlier_one_is_filled_in(desk: Desk) -> None:
    desk.items([*tickets("cards", 3), *tickets("cards", 4, day=1), *tickets("cards", 5, day=2)])
    digest = desk.digest(levels=1)
    for number in (0, 2, 1):
        desk.finished(digest, night(number))
    assert "Thursday, 26 November 2026" in desk.text("latest.html")
    assert desk.text("latest.html") == desk.text("2026-11-26T000000Z.html")
    assert 'href="2026-11-24T000000Z.html"' in desk.text("2026-11-25T000000Z.html")
    assert "the night before" not in desk.text("2026-11-24T000000Z.html")


def test_the_last_step_says_where_the_pages_are_and_may_be_taken_again(desk: Desk) -> None:
    desk.items(tickets("cards", 6))
    digest = desk.digest(levels=1)
    first, again = desk.finished(digest), desk.finished(digest)
    address = str(desk.store / "digests" / "nightly" / "2026-11-24T000000Z.html")
    assert first.facts["digest"] == again.facts["digest"] == {"html": address, "md": address[:-4] + "md"}
    assert any(address in line for line in first.said)
    assert first.facts["items"] == 6
    assert first.facts["requests"] == 1


def _edition(desk: Desk) -> Edition:
    digest = desk.digest()
    desk.finished(digest)
    site = desk.site()
    runs = {stage.name: run_of(site, stage.name, night()) for stage in digest.pipeline.stages()}
    making = Making(recipe=digest.recipe, about=digest.about, model=digest.model, link="")
    known = {name: run for name, run in runs.items() if run is not None}
    return gather_edition(making, Finishing(site=site, interval=night(), runs=known))


def test_the_page_says_the_numbers_and_the_cost(desk: Desk) -> None:
    desk.items(tickets("cards", 9) + tickets("cards", 6, day=-7) + tickets("cash", 2))
    edition = _edition(desk)
    text = page(edition)
    assert "+50 %" in text
    assert "usual for a Tuesday: 6.0" in text
    assert "11 items in 2 groups" in text
    assert re.search(r"2 requests in 3 stages for \$0\.\d+", text)
    assert "**9** items, +50 %, usual for a Tuesday: 6.0" in letter(edition)


def test_a_rehearsal_is_called_one(desk: Desk) -> None:
    desk.items(tickets("cards", 3))
    edition = _edition(desk)
    assert edition.model == "emulated/gpt-5-mini"
    assert "A rehearsal:" in page(edition)
    assert "A rehearsal:" in letter(edition)
    assert "A rehearsal" not in page(replace(edition, model="gpt-5-mini-2025-08-07"))


def test_a_cost_that_is_not_known_is_not_guessed(desk: Desk) -> None:
    desk.items(tickets("cards", 3))
    edition = _edition(desk)
    unpriced = replace(edition, cost=replace(edition.cost, actual_usd=None))
    assert "the cost is not known" in page(unpriced)


def test_a_trend_has_a_bar_for_each_period_and_marks_the_same_weekdays() -> None:
    made = bars([None, *range(26), 52])
    assert [bar.kind for bar in made].count("like") == 3
    assert (made[0].kind, made[-1].kind) == ("unknown", "now")
    assert max(bar.height for bar in made) == made[-1].height == 36.0
    assert [bar.kind for bar in bars([0] * 28)][-1] == "now"
    assert bars([]) == []


def test_a_browser_loads_the_page_without_a_word_of_complaint(hostile: Desk, tmp_path: Path) -> None:
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    browser = next((path for path in found if path), None)
    if browser is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    file = hostile.store / "digests" / "nightly" / "latest.html"
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    more = "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --dump-dom"
    done = subprocess.run(
        [browser, *flags.split(), *more.split(), f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert "Tuesday, 24 November 2026" in done.stdout

"""The page: the decision first, and whatever a case, an answer or a name holds stays text."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from offpeak.evals.bounds import Estimate
from offpeak.evals.compare import Compared, Sliced
from offpeak.evals.costs import Cost
from offpeak.evals.facts import CandidateFacts, Evaluation, JudgeFacts, Regression
from offpeak.evals.page import headline, page
from offpeak.evals.stability import Stability

ATTACK = "</script></style></title><img src=x onerror=alert(1)><script>document.title='hit'</script>"
HOSTILE = (
    ATTACK,
    "{{ 7 * 7 }}",
    '" onmouseover="alert(1)" x="',
    "\u202eturned\u202c\x00\x1b[31m",
    "W" * 5_000,
)
ALLOWED = frozenset(
    {
        *("html", "head", "meta", "title", "link", "style", "body", "main", "header", "footer", "section"),
        *(
            "article",
            "p",
            "strong",
            "span",
            "h1",
            "h2",
            "h3",
            "br",
            "code",
            "time",
            "a",
            "details",
            "summary",
        ),
        *("dl", "dt", "dd", "div", "table", "thead", "tbody", "tr", "th", "td", "svg", "line"),
    }
)


def estimate(value: float, half: float = 0.02) -> Estimate:
    return Estimate(value, value - half, value + half, 500)


def compared(value: float, base: float, metric: str = "kind") -> Compared:
    return Compared(
        metric=metric,
        score=estimate(value),
        baseline=estimate(base),
        difference=estimate(value - base, 0.015),
        better=4,
        worse=30,
        p_value=0.00001,
        method="Tango's interval",
    )


def one(name: str, decision: Any, value: float, **changes: Any) -> CandidateFacts:
    settings: dict[str, Any] = {
        "name": name,
        "model": "openai:gpt-5-mini",
        "asks": "a" * 16,
        "answered_by": ("gpt-5-mini",),
        "decision": decision,
        "reasons": ("It is at least 4.8 points worse than the baseline.",),
        "more_cases": None,
        "metrics": (compared(value, 0.93),),
        "slices": (Sliced(column="region", value="north", compared=compared(value, 0.93), stands=True),),
        "outcomes": {"answered": 498, "refused": 2},
        "unanswered": 2,
        "cost": Cost(
            spent_usd=Decimal("0.05"),
            usd_per_1000=0.1,
            basis="paid",
            input_tokens=90.0,
            output_tokens=40.0,
            slowest_batch_seconds=900.0,
        ),
        "regressions": (
            Regression(
                case="c1", shown="text", expected="card", baseline="card", candidate="other", lost=1.0
            ),
        ),
        "regressed": 30,
        "stability": Stability(
            cases=50,
            noise=estimate(0.06),
            flips=estimate(0.3),
            drift=estimate(0.24, 0.1),
            against="2026-11-20T000000Z",
        ),
        "judge": JudgeFacts(pairs=80, flipped=estimate(0.1), first_favoured=6, second_favoured=2, unjudged=1),
        "nights": tuple((f"2026-11-{day:02d}T000000Z", estimate(0.05 + day / 200)) for day in range(1, 20)),
    }
    return CandidateFacts(**{**settings, **changes})


def evaluation(*others: CandidateFacts, **changes: Any) -> Evaluation:
    settings: dict[str, Any] = {
        "suite": "evals",
        "interval": "2026-11-21T000000Z",
        "made_at": datetime(2026, 11, 22, 7, tzinfo=UTC),
        "offpeak_version": "1",
        "decision": others[0].decision if others else "baseline",
        "metric": "kind",
        "rules": ("It passes when ...",),
        "max_drop": 0.01,
        "alpha": 0.05,
        "baseline": "old",
        "baseline_why": "named in the suite",
        "last_good": {"name": "old", "asks": "a", "since": "2026-11-01T000000Z"},
        "cases": 500,
        "samples": 1,
        "notes": (),
        "candidates": (one("old", "baseline", 0.93), *others),
        "second_layer_usd": Decimal("0.01"),
    }
    return Evaluation(**{**settings, **changes})


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def hostile() -> Evaluation:
    texts = " ".join(HOSTILE)
    cases = tuple(
        Regression(case=text, shown=text, expected=text, baseline=text, candidate=text, lost=0.5, said=text)
        for text in HOSTILE
    )
    nasty = one(
        "nasty",
        "failed",
        0.85,
        regressions=cases,
        model=ATTACK,
        answered_by=HOSTILE,
        reasons=HOSTILE,
        outcomes={texts: 3},
        slices=tuple(Sliced(column=text, value=text, compared=compared(0.8, 0.9, text)) for text in HOSTILE),
        metrics=(compared(0.85, 0.93), compared(0.85, 0.93, ATTACK)),
    )
    base = one("old", "baseline", 0.93, metrics=(compared(0.93, 0.93), compared(0.93, 0.93, ATTACK)))
    return evaluation(candidates=(base, nasty), notes=HOSTILE, rules=HOSTILE, baseline_why=ATTACK)


def test_whatever_a_case_or_an_answer_holds_the_page_has_only_its_own_elements() -> None:
    found = _Tags(page(hostile()))
    assert found.tags <= ALLOWED
    assert not [name for name in found.attributes if name.startswith("on")]
    assert "src" not in found.attributes
    assert "style" not in found.attributes


def test_invisible_characters_are_made_visible() -> None:
    text = page(hostile())
    assert "\u202e" not in text
    assert "⟨U+202E⟩" in text
    assert "{{ 7 * 7 }}" in text


def test_the_page_may_load_and_run_nothing() -> None:
    text = page(evaluation(one("new", "passed", 0.94)))
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in text
    assert "<script" not in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


def test_the_decision_is_the_first_sentence() -> None:
    assert headline(evaluation(one("new", "failed", 0.86))) == (
        "new failed: kind is 86.0 %, 7.0 points below old (−8.5 to −5.5), on 500 cases."
    )
    assert headline(evaluation(one("new", "passed", 0.93))).startswith(
        "new passed: kind is 93.0 %, the same as old"
    )
    several = evaluation(one("a", "passed", 0.94), one("b", "passed", 0.94), one("c", "undecided", 0.92))
    assert headline(several) == "c is undecided; a and b passed. Compared with old on 500 cases."
    assert headline(evaluation()) == "old alone was asked: kind 93.0 %."


def test_the_page_says_costs_slices_drift_and_the_judges_agreement() -> None:
    text = page(evaluation(one("new", "failed", 0.86)))
    for said in (
        "$0.1000",
        "15 min",
        "1 slice of 1 differs beyond chance",
        "region: north",
        "It drifted.",
        "answers otherwise than on 2026-11-20",
        "2 answers missing, counted as wrong (2 refused)",
        "orders disagree",
        "The same facts for programs",
    ):
        assert said in text


def test_an_emulated_evaluation_says_so_on_its_first_lines() -> None:
    text = page(evaluation(one("new", "passed", 0.94, answered_by=("emulated/gpt-5-mini",))))
    assert "These answers came from the emulator" in text
    assert "emulator" not in page(evaluation(one("new", "passed", 0.94)))


def test_a_browser_shows_the_hostile_page_and_runs_nothing_of_it(tmp_path: Path) -> None:
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    browser = next((path for path in found if path), None)
    if browser is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    file = tmp_path / "page.html"
    file.write_text(page(hostile()), encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{file}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "<title>Failed: evals" in done.stdout or "<title>Baseline: evals" in done.stdout
    assert "hit</title>" not in done.stdout

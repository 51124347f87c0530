"""The changing line of the demo."""

from __future__ import annotations

import pytest

from offpeak.demo.screen import StatusLine


def test_elsewhere_than_on_a_terminal_a_line_appears_once_for_each_topic(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = StatusLine()
    for _ in range(3):
        line("starting")
    line("running · 1 answered", topic="running")
    line("running · 2 answered", topic="running")
    line.say("done")
    shown = capsys.readouterr().out
    assert shown.splitlines() == ["[  0 s] starting", "[  0 s] running · 1 answered", "done"]


def test_on_a_terminal_the_line_is_rewritten_and_what_lasts_begins_a_fresh_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    line = StatusLine()
    line("starting")
    line("running")
    line.say("done")
    assert capsys.readouterr().out == "\r\033[K[  0 s] starting\r\033[K[  0 s] running\r\033[Kdone\n"

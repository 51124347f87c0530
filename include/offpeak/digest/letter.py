"""The letter: the same edition as Markdown, for mail and chat. Whatever an item or a model says stays text."""

from __future__ import annotations

import re

from offpeak.digest import wording
from offpeak.digest.edition import Edition, GroupPart, Quote, Statement
from offpeak.report.wording import moment, shown

_SIGNS = re.compile(r"([\\`*_\[\]|~]|:(?=//))")
"""What Markdown reads anywhere in a line; `://` would become a link by itself."""
_FIRST = re.compile(r"^([#>+=-]|\d{1,9}(?=[.)]))")
"""What it reads at the beginning only."""
_BREAKS = re.compile(r"[\s\u2028\u2029\x85]+")


def letter(edition: Edition) -> str:
    """The Markdown: no HTML in it, and no sign of an item's text that Markdown would read."""
    lines = [
        f"# {escaped(edition.name)}: {escaped(wording.title(edition))}",
        "",
        wording.summary(edition),
        "",
    ]
    if edition.emulated:
        lines += [
            "A rehearsal: the emulator's stand-in picked these sentences, and no model read the items.",
            "",
        ]
    for part in edition.answered:
        lines += _part(part, edition)
    if quiet := wording.quiet(edition):
        lines += [f"Nothing from: {escaped(quiet)}.", ""]
    if missing := wording.missing(edition):
        lines += ["## What is missing", "", *(f"- {escaped(one)}" for one in missing), ""]
    quotes = [quote for part in edition.parts for quote in part.quotes]
    if quotes:
        lines += ["## Sources", "", *(line for quote in quotes for line in _quote(quote))]
    lines += ["---", "", wording.cost(edition), wording.basis(edition), ""]
    return "\n".join(lines)


def _part(part: GroupPart, edition: Edition) -> list[str]:
    numbers = part.numbers
    said = [f"**{numbers.items:,}** items", wording.change(numbers), wording.usual(numbers, edition)]
    lines = [f"## {escaped(part.name)}: {escaped(part.headline)}", "", ", ".join(filter(None, said)), ""]
    if numbers.shares:
        shares = ", ".join(
            f"{escaped(one.value)} {one.share:.0%}".replace("%", " %") for one in numbers.shares
        )
        lines += [f"Of these: {shares}", ""]
    return [*lines, *(_statement(one) for one in part.statements), ""]


def _statement(said: Statement) -> str:
    cites = ", ".join(f"[{escaped(one.shown)}]({one.link or f'#{_slug(one.shown)}'})" for one in said.cites)
    return f"- {escaped(said.text)} ({cites})"


def _quote(quote: Quote) -> list[str]:
    beside = [moment(quote.moment)] if quote.moment else []
    beside += [escaped(quote.item)] if quote.item != quote.shown else []
    more = " …" if quote.cut else ""
    facts = f"({', '.join(beside)})" if beside else ""
    return [
        f"### {escaped(quote.shown)}",
        "",
        *([facts, ""] if facts else []),
        f"> {escaped(quote.text)}{more}",
        "",
    ]


def _slug(shown_id: str) -> str:
    """The anchor that readers of Markdown give a heading."""
    return re.sub(r"[^\w-]", "", shown_id.lower())


def escaped(text: str) -> str:
    """One line in which nothing is markup: neither Markdown's signs nor HTML's, nor a bare address."""
    line = _BREAKS.sub(" ", str(shown(_BREAKS.sub(" ", text)))).strip()
    line = _SIGNS.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))
    first = _FIRST.match(line)
    if first is None:
        return line
    said = first.group()
    return (said + "\\" if said.isdigit() else "\\" + said) + line[first.end() :]

"""The pages as HTML that loads nothing, and the headers that see to it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from offpeak.report import wording

if TYPE_CHECKING:
    from jinja2 import Environment

    from offpeak.on_airflow.pages.lines import Line

REPORT_STYLE = "'unsafe-inline'"
"""A report draws its bars with style attributes, which have no hash."""


def runs_page(
    lines: Sequence[Line], *, airflow: str, pages: str, now: datetime, of_dag_run: str = ""
) -> tuple[str, Mapping[str, str]]:
    """The list and its headers. `airflow` and `pages` are where Airflow's and these pages begin; `of_dag_run`
    names the dag run when the list is of one."""
    body = _environment().get_template("runs.html")
    text = body.render(lines=lines, airflow=airflow, pages=pages, now=now, of_dag_run=of_dag_run)
    return text, headers(style=_hash(_style()), script=_hash(_script()))


def sentence_page(title: str, sentence: str) -> tuple[str, Mapping[str, str]]:
    """A page that says one thing, and its headers."""
    text = _environment().get_template("sentence.html").render(title=title, sentence=sentence)
    return text, headers(style=_hash(_style()))


def headers(*, style: str, script: str = "'none'") -> dict[str, str]:
    """For every answer: nothing is loaded, nobody else frames it, nobody keeps it."""
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
        f"style-src {style}; script-src {script}"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _style() -> str:
    own = _read("offpeak.on_airflow.pages", "runs.css")
    return f"\n{_read('offpeak.report', 'page.css')}\n{own}\n"


@cache
def _script() -> str:
    return _read("offpeak.on_airflow.pages", "leave_frame.js")


def _read(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(lambda name: _read("offpeak.on_airflow.pages", name)),
        autoescape=True,
        finalize=wording.shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=wording.number, usd=wording.usd, exactly=wording.exactly, moment=wording.moment
    )
    # both are files of ours, and their hashes are in the policy
    environment.globals.update(style=Markup(_style()), script=Markup(_script()))  # noqa: S704
    return environment

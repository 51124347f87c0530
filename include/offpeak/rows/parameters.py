"""Parameters of a query: `:start` and `:end`, told from colons in quotes, comments and casts."""

from __future__ import annotations

import re
from collections.abc import Callable

from offpeak.errors import SpecError

KNOWN = ("start", "end")

# quoted text, names, comments: a colon in them is data
_DATA = re.compile(
    r"""(?:\b[eE]'(?:[^'\\]|\\.|'')*')|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`"""
    r"""|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|--[^\n]*|/\*.*?\*/""",
    re.DOTALL,
)
# what SQLAlchemy's text() takes for a parameter, and for an escaped colon
_PARAMETER = re.compile(r"(?<![:\w$\\]):([\w$]+)(?![:\w$])")
_ESCAPED = re.compile(r"\\(?=:[\w$]*(?![:\w$]))")


def parameters(query: str) -> tuple[str, ...]:
    """The names of the query's parameters, each once; SpecError for one that a run does not know."""
    names: dict[str, None] = {}
    _outside(query, lambda code: names.update(dict.fromkeys(_PARAMETER.findall(code))) or code)
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise SpecError(
            f"The query has the parameter {', '.join(':' + name for name in unknown)}, which a run does not "
            "know. It knows :start and :end, the run's data interval. Write other values into the query "
            "itself, and put text with a colon in quotes."
        )
    return tuple(names)


def for_text(query: str) -> str:
    """The query for SQLAlchemy's `text()`, so that only its own parameters are parameters there."""

    def escape(data: str) -> str:
        return _PARAMETER.sub(lambda match: "\\" + match[0], _ESCAPED.sub(r"\\\\", data))

    return _outside(query, lambda code: code, inside=escape)


def _outside(query: str, code: Callable[[str], str], inside: Callable[[str], str] = str) -> str:
    """The query with `code` applied outside quotes and comments, and `inside` in them."""
    parts, end = [], 0
    for match in _DATA.finditer(query):
        parts += [code(query[end : match.start()]), inside(match[0])]
        end = match.end()
    return "".join([*parts, code(query[end:])])

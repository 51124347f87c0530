"""Templates of pages: escaped, strict about what is missing, from the packages that hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def environment_of(
    package: str, *, finalize: Callable[[Any], Any], filters: Mapping[str, Any]
) -> Environment:
    """The templates of `offpeak.<package>`; `report/page.css` names one of another package of ours.

    Every value passes `finalize` and is then escaped.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def template(name: str) -> str:
        elsewhere, _, file = name.rpartition("/")
        return files(f"offpeak.{elsewhere or package}").joinpath(file).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(template),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment

"""Providers by name. A new one is one file, one line in the table, and the contract tests."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from offpeak.errors import SpecError
from offpeak.providers.provider import Provider

_PROVIDERS = {
    "openai": ("offpeak.providers.openai", "OpenAI"),
    "anthropic": ("offpeak.providers.anthropic", "Anthropic"),
}


def names() -> list[str]:
    return sorted(_PROVIDERS)


@cache
def provider(name: str) -> Provider:
    """The provider called `name`. Importing it does not import its SDK. SpecError for an unknown name."""
    if name not in _PROVIDERS:
        raise SpecError(f"There is no provider {name!r}. Known: {', '.join(names())}.")
    module, attribute = _PROVIDERS[name]
    made: Provider = getattr(import_module(module), attribute)()
    return made

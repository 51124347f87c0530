"""The page on embeddings says what the code does."""

from __future__ import annotations

import dataclasses
import re

from offpeak.embeddings import Embeddings, VectorChecks
from offpeak.embeddings.spec import _HANDED
from offpeak.embeddings.versions import KEEP
from tests.docs.reading import ROOT, table, words

TEXT = (ROOT / "docs" / "embeddings.md").read_text(encoding="utf-8")


def test_the_arguments_are_listed_with_their_defaults() -> None:
    listed = {words(name)[0]: default.strip("`") for name, _, default in table("embeddings.md", "argument")}
    fields = {one.name: one for one in dataclasses.fields(Embeddings) if one.name not in _HANDED[1:]}
    assert listed.pop("checks") == "the limits below"
    assert listed == {name: _default(one) for name, one in fields.items() if name != "checks"}


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return "required" if field.default_factory is dataclasses.MISSING else repr(field.default_factory())


def test_the_limits_of_the_checks_are_those_of_the_code() -> None:
    said = dict(re.findall(r"`(\w+)=([^`,]+|\([^)]*\))`", TEXT))
    limits = {one.name: repr(getattr(VectorChecks(), one.name)) for one in dataclasses.fields(VectorChecks)}
    assert {name: said[name] for name in limits if name != "norm"} == {
        name: value for name, value in limits.items() if name != "norm"
    }
    assert f"`norm={limits['norm']}`" in TEXT


def test_the_number_of_versions_that_are_kept_is_said() -> None:
    assert KEEP == 2
    assert "The last two versions are kept" in TEXT

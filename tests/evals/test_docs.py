"""A fact lives once: what docs/evals.md lists is compared with the code."""

from __future__ import annotations

import dataclasses

from offpeak import evals
from offpeak.evals import EvalSuite, Gate
from tests.docs.reading import table, words


def test_the_defaults_of_a_suite_and_of_a_gate_are_listed_as_they_are() -> None:
    for head, kind in (("suite", EvalSuite), ("gate", Gate)):
        listed = {words(name)[0]: default.strip("`") for name, _, default in table("evals.md", head)}
        known = {one.name: one.default for one in dataclasses.fields(kind)}
        required = {
            name: "required" if value is dataclasses.MISSING else repr(value) for name, value in known.items()
        }
        assert listed == required


def test_every_scorer_is_listed() -> None:
    listed = {words(name)[0] for name, _ in table("evals.md", "scorer")}
    others = {"Candidate", "Embeddings", "EvalSuite", "Gate", "Judge", "Scorer", "own"}
    assert listed == set(evals.__all__) - others

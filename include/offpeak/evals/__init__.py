"""Evaluation suites: candidates compared on the same cases, decided by a gate, followed over the nights.

from offpeak.evals import Candidate, EvalSuite, Gate, exact
"""

from __future__ import annotations

from offpeak.evals.candidate import Candidate
from offpeak.evals.gate import Gate
from offpeak.evals.judge import Judge
from offpeak.evals.scorers import (
    Scorer,
    choice,
    exact,
    json_fields,
    matches,
    normalised_match,
    numeric,
    overlap_f1,
    own,
    similarity,
)
from offpeak.evals.suite import EvalSuite
from offpeak.evals.vectors import Embeddings

__all__ = [
    "Candidate",
    "Embeddings",
    "EvalSuite",
    "Gate",
    "Judge",
    "Scorer",
    "choice",
    "exact",
    "json_fields",
    "matches",
    "normalised_match",
    "numeric",
    "overlap_f1",
    "own",
    "similarity",
]

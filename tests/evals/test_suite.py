"""What a DAG file may declare, and what is found when it is parsed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.errors import SpecError
from offpeak.evals import Candidate, Embeddings, EvalSuite, Gate, Judge, exact, own, similarity
from offpeak.pipeline import Pipelined
from offpeak.spec import asks_of
from tests.evals.making import PROMPT, Sorted, candidate, suite


def test_a_suite_is_a_pipeline_of_one_stage_for_each_candidate() -> None:
    made = suite()
    assert isinstance(made, Pipelined)
    assert [stage.name for stage in made.pipeline.stages()] == ["evals__mini", "evals__nano"]


def test_vectors_and_judge_come_in_a_second_layer() -> None:
    made = suite(
        candidates=[candidate("a", answer=str), candidate("b", "openai:gpt-5-nano", answer=str)],
        scorers=[similarity("answer", against="kind")],
        embeddings=Embeddings(dimensions=64),
        judge=Judge(rubric="The shorter one is better.", model="openai:gpt-5"),
        gate=Gate(metric="judge"),
    )
    first, second = made.pipeline.layers
    assert [stage.name for stage in first] == ["evals__a", "evals__b"]
    assert [stage.name for stage in second] == ["evals__vectors", "evals__judge"]


def test_a_candidate_of_a_workload_asks_just_what_the_workload_asks() -> None:
    workload = Workload(
        name="sorting",
        rows=parquet("{store}/tickets/*.parquet", key="id"),
        prompt=PROMPT,
        answer=Sorted,
        model="openai:gpt-5-mini",
        into=parquet_table("{store}/tables/sorting"),
        params={"reasoning": {"effort": "low"}},
        keep=["branch"],
    )
    made = suite(
        candidates=[Candidate.of("now", workload), Candidate.of("next", workload, model="openai:gpt-5")]
    )
    assert made.asks(made.candidates[0]) == asks_of(workload)
    assert made.asks(made.candidates[1]) != asks_of(workload)
    with pytest.raises(SpecError, match="due is nothing that a candidate has"):
        Candidate.of("late", workload, due=None)


def test_every_mistake_is_found_at_once_and_each_has_its_cure() -> None:
    shows = Prompt(user="{{ row.text }} ({{ row.kind }})")
    with pytest.raises(SpecError) as raised:
        suite(
            candidates=[
                candidate("Mini"),
                candidate("judge"),
                candidate("shows", prompt=shows),
                candidate("whole", prompt=Prompt(user="{{ row | tojson }}")),
                candidate("text", answer=str),
                candidate("bad", "gpt-5"),
            ],
            baseline="gone",
            samples=0,
            gate=Gate(metric="style"),
        )
    said = str(raised.value)
    assert "candidate 'Mini': use lower-case letters" in said
    assert "a candidate cannot be called judge" in said
    assert "baseline='gone' is no candidate" in said
    assert "samples=0: give 1 to 20" in said
    assert "there is no scorer 'style'; there are kind" in said
    assert "candidate 'shows': its prompt shows row.kind" in said
    assert "candidate 'whole': its prompt uses the row as a whole" in said
    assert "the scorer 'kind' looks at 'kind', which its answer does not have; it has answer" in said
    assert "candidate 'bad'" in said
    assert "write it as provider:model" in said


def test_similarity_without_embeddings_and_embeddings_without_similarity_are_refused() -> None:
    texts = [candidate("a", answer=str)]
    with pytest.raises(SpecError, match=r"give embeddings=Embeddings\(...\)"):
        suite(candidates=texts, scorers=[similarity("answer", against="kind", name="kind")])
    with pytest.raises(SpecError, match=r"no scorer is similarity\(...\); leave it out"):
        suite(embeddings=Embeddings())


def test_a_judge_needs_a_rubric_that_is_no_template() -> None:
    with pytest.raises(SpecError, match="no template"):
        Judge(rubric="Prefer {{ row.x }}", model="openai:gpt-5")
    with pytest.raises(SpecError, match="is empty"):
        Judge(rubric=" ", model="openai:gpt-5")


def test_scorers_may_be_plain_functions() -> None:
    def short(row: object, answer: object) -> bool:
        return len(str(answer)) < 80

    made: EvalSuite = suite(scorers=[exact("kind"), short, own(lambda row, answer: 1.0, name="always")])
    assert [one.name for one in made.metrics] == ["kind", "short", "always"]


DECLARED = """
import sys
from pydantic import BaseModel
from offpeak import Prompt, parquet, parquet_table
from offpeak.evals import Candidate, EvalSuite, Gate, exact
class Kind(BaseModel):
    kind: str
asked = Candidate("a", model="openai:gpt-5", prompt=Prompt(user="{{ row.text }}"), answer=Kind)
suite = EvalSuite(name="evals", cases=parquet("cases.parquet", key="id"), scorers=[exact("kind")], candidates=[asked],
                  into=parquet_table("{store}/tables/evals"))
suite.pipeline
heavy = {"numpy", "pyarrow", "pandas", "duckdb", "sqlalchemy", "scipy", "great_expectations", "openai", "airflow"}
print(sorted(heavy & set(sys.modules)))
"""


def test_a_suite_is_declared_without_importing_what_is_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", DECLARED], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_dag_file_is_a_specification_of_at_most_forty_lines() -> None:
    text = (Path(__file__).resolve().parents[2] / "dags" / "eval_suite.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40

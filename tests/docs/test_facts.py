"""A fact lives once: what the docs list is compared with the code."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import pytest

from offpeak import Workload, errors
from offpeak.cli import main as command
from offpeak.cli import run as run_command
from offpeak.cli.main import group
from offpeak.emulator import FAULTS
from offpeak.evals.gate import EXIT_CODES
from offpeak.ledger import NewRun
from offpeak.ledger.schema import METADATA
from offpeak.prices import data_date
from offpeak.progress import summary
from offpeak.providers import names, provider
from offpeak.report.identity import COLUMNS
from offpeak.rounds import POLICY, Again
from offpeak.site import Site
from offpeak.states import BatchStatus, Outcome, RunState, ShardState
from offpeak.tables.table import PROVENANCE
from tests.docs.reading import ROOT, table, words


def test_the_defaults_of_a_workload_are_listed_as_they_are() -> None:
    listed = {words(name)[0]: default.strip("`") for name, _, default in table("workload.md", "argument")}
    assert listed == {field.name: _default(field) for field in dataclasses.fields(Workload)}


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return "required" if field.default_factory is dataclasses.MISSING else repr(field.default_factory())


def test_the_faults_are_listed_as_they_are() -> None:
    listed = [
        (words(name)[0], strikes, what, tuple(words(params)))
        for name, strikes, what, params in table("emulator.md", "fault")
    ]
    assert listed == [(kind.name, kind.strikes.value, kind.what, kind.params) for kind in FAULTS.values()]
    assert f"with {len(FAULTS)} faults" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("head", "vocabulary"),
    [("run", RunState), ("shard", ShardState), ("batch", BatchStatus), ("row", Outcome)],
)
def test_every_state_is_listed_in_its_order(head: str, vocabulary: type[StrEnum]) -> None:
    assert [words(name)[0] for name, _ in table("running.md", head)] == [str(state) for state in vocabulary]


RULES = {
    Again.NO: "a dead letter at once",
    Again.SAME: "asks the same again",
    Again.MORE_ROOM: "twice the output limit",
    Again.WITH_NOTE: "the reason shown",
}


def test_every_outcome_has_its_rule_for_the_next_round() -> None:
    rules = {name: text for cell, text in table("workload.md", "outcome") for name in words(cell)}
    assert rules.keys() | {Outcome.ANSWERED} == set(Outcome)
    assert [name for name, text in rules.items() if RULES[POLICY[Outcome(name)]] not in text] == []


def test_every_exit_code_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {int(code): meaning for code, meaning in table("running.md", "code")}
    made = {_code_of(kind) for kind in _kinds(errors.OffpeakError)}
    assert codes.keys() == made | {0, 130} | set(EXIT_CODES.values())
    assert _code_of(errors.SpecError) == 2
    assert "mistake" in codes[2]
    assert _code_of(errors.GateRefused) == 3
    assert "refused" in codes[3]

    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(group, "main", interrupted)
    with pytest.raises(SystemExit) as left:
        command()
    assert left.value.code == 130


def _kinds(base: type[errors.OffpeakError]) -> set[type[errors.OffpeakError]]:
    known = {value for value in vars(errors).values() if isinstance(value, type)}
    return {kind for kind in known if issubclass(kind, base)}


def _code_of(kind: type[errors.OffpeakError]) -> int:
    return run_command._failed(None, None, kind("said"), as_json=False)


def test_the_keys_of_the_json_are_listed_in_their_order(tmp_path: Path) -> None:
    site, now = Site.open(store=str(tmp_path)), datetime(2026, 11, 22, tzinfo=UTC)
    new = NewRun(
        workload="w",
        interval_key="2026-11-22T000000Z",
        interval_start=now,
        interval_end=now,
        spec_hash="h",
        spec={},
        store=str(tmp_path),
    )
    run, _ = site.ledger.open_run(new, now=now)
    assert [words(key)[0] for key, _ in table("running.md", "key")] == list(summary(site, run.run_id))


def test_the_columns_of_provenance_are_listed_in_their_order() -> None:
    listed = [words(name)[0] for name, _ in table("tables.md", "column")]
    assert listed == [name for name, _ in PROVENANCE] == list(COLUMNS)


def test_the_limits_of_the_providers_are_listed() -> None:
    rows = {cells[0].strip("`"): cells for cells in table("providers.md", "provider")}
    assert sorted(rows) == names()
    text = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    for name in names():
        limits = provider(name).limits
        assert f"| `{name}` | {limits.requests:,} | {limits.size_bytes:,} bytes |" in text


def test_the_price_list_is_named_with_its_date() -> None:
    name = f"include/offpeak/prices/{data_date()}.json"
    assert (ROOT / name).is_file()
    assert f"`{name}`" in (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    assert f"price list dated {data_date()}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_table_of_the_ledger_is_named() -> None:
    text = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(offpeak_[a-z]+)`", text)) == set(METADATA.tables)


def test_every_part_of_the_report_is_explained_in_its_order() -> None:
    page = (ROOT / "include/offpeak/report/page.html").read_text(encoding="utf-8")
    parts = re.findall(r'include "(\w+\.html)"', page)
    heads = [
        re.findall(r"<h2>(.+?)</h2>", (ROOT / "include/offpeak/report" / part).read_text(encoding="utf-8"))
        for part in parts
    ]
    explained = re.findall(
        r"^## (.+)$", (ROOT / "docs" / "report.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert explained == ["Top of the page", *(head for found in heads[1:] for head in found)]

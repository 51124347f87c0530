"""Every command that the docs show can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from offpeak.cli.main import group
from tests.docs.reading import PAGES, ROOT, blocks, inline


def _typed() -> Iterator[tuple[Path, list[str]]]:
    """Every `offpeak ...` in code, whole lines of shell blocks and pieces of sentences alike."""
    lines = [(block.page, line) for block in blocks("bash") for line in block.text.splitlines()]
    lines += [(page, piece) for page in PAGES for piece in inline(page)]
    for page, line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] == ["offpeak"] and len(words) > 1:
            yield page, words[1:]


COMMANDS = list(_typed())


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=[f"{page.name} {' '.join(words)}" for page, words in COMMANDS]
)
def test_a_command_exists_with_its_arguments_and_options(page: Path, words: list[str]) -> None:
    command, rest = _find(words)
    if rest:  # a name alone, as in "end it with `offpeak cancel`", stands for the command
        with command.make_context("offpeak", list(rest)) as context:
            assert context.params


def test_the_docs_show_every_command_with_arguments() -> None:
    shown = {words[0] for _, words in COMMANDS if len(words) > 1 or words == ["status"]}
    assert shown == set(group.list_commands(click.Context(group)))


@pytest.mark.parametrize("name", group.list_commands(click.Context(group)))
def test_every_command_has_help(name: str) -> None:
    told = CliRunner().invoke(group, [name, "--help"])
    assert told.exit_code == 0
    assert told.output.startswith("Usage:")


def test_every_make_target_that_the_docs_name_exists() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    code = [line for block in blocks("bash") for line in block.text.splitlines()]
    code += [piece for page in PAGES for piece in inline(page)]
    named = {match[1] for line in code if (match := re.match(r"make ([a-z-]+)", line))}
    assert {"demo", "test", "up", "install"} <= named <= targets


def test_every_variable_that_the_docs_name_is_read_somewhere() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "include").rglob("*.py"))
    code += (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    named = {
        name
        for page in PAGES
        for name in re.findall(r"\b(?:OFFPEAK|OPENAI|ANTHROPIC|AIRFLOW)_[A-Z_]+\b", page.read_text("utf-8"))
    }
    # names that are put together in the code
    composed = {name for name in named if name.startswith(("AIRFLOW_CONN_", "OFFPEAK_QUOTA_"))}
    assert "AIRFLOW_CONN_{" in code
    assert "OFFPEAK_QUOTA_{" in code
    assert sorted(name for name in named - composed if name not in code) == []


def _find(words: list[str]) -> tuple[click.Command, list[str]]:
    command: click.Command = group
    rest = list(words)
    while isinstance(command, click.Group) and rest:
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"there is no command {' '.join(words)}"
        command, rest = found, rest[1:]
    return command, rest

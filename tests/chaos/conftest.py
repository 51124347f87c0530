"""One emulator, one zygote and one Postgres for all scenes of a process, and the totals at the end."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offpeak.emulator import Emulator
from tests.chaos.company import Company, Totals, table
from tests.chaos.scene import Stage, bring_up
from tests.chaos.weather import SPEED
from tests.chaos.zygote import Zygote
from tests.postgres import PostgresServer

DEFAULT_SEED = 1
HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--chaos-full", action="store_true", help="play the whole matrix, not a sample")
    group.addoption("--chaos-random", type=int, default=None, help="how many random schedules")
    group.addoption("--chaos-seed", type=int, default=DEFAULT_SEED, help="of the sample and the random ones")
    group.addoption("--chaos-report", default=None, help="a file for the totals")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "matrix: only with --chaos-full")
    config.addinivalue_line("markers", "sample: only without --chaos-full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The whole matrix or a sample of it. A sample stays with one worker, which then has all that is
    costly to begin; the whole is spread."""
    full = bool(config.getoption("--chaos-full", False))
    unwanted = [item for item in items if item.get_closest_marker("sample" if full else "matrix")]
    if unwanted:
        items[:] = [item for item in items if item not in unwanted]
        config.hook.pytest_deselected(items=unwanted)
    for item in items:
        if item.path.parent == HERE and not full:
            item.add_marker(pytest.mark.xdist_group("chaos"))


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives the URL of a fresh database with an up-to-date ledger. Skips the asker where there is no server."""
    made: list[str] = []

    def new() -> str:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        if not made:
            made.append(f"chaos_{secrets.token_hex(4)}")
            server.execute(f"CREATE DATABASE {made[0]}")
            bring_up(server.url(made[0]))
        for left in made[1:]:
            server.execute(f"DROP DATABASE {left} WITH (FORCE)")
        made[1:] = [f"chaos_{secrets.token_hex(6)}"]
        server.execute(f"CREATE DATABASE {made[1]} TEMPLATE {made[0]}")
        return server.url(made[1])

    return new  # the server goes with all its databases


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Company]:
    folder: Path = tmp_path_factory.mktemp("chaos")
    with Emulator(speed=SPEED) as emulator, Zygote() as zygote:
        yield Company(Stage(emulator, zygote, folder, new_database))


@pytest.fixture
def totals(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[Totals]:
    """What this test's scenes came to; added up over all tests and processes at the end, and noted beside
    the report at once, so that a long run which is broken off has not been for nothing."""
    counted: Totals = Counter()
    yield counted
    record_property("chaos", dict(counted))
    if path := request.config.getoption("--chaos-report", None):
        with Path(f"{path}.parts").open("a") as parts:
            parts.write(json.dumps({"test": request.node.name, **counted}) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    by_test: dict[str, Totals] = {}
    for report in (report for group in terminalreporter.stats.values() for report in group):
        # the fixture has counted by the end of the teardown, which no group of a name holds
        if getattr(report, "when", "") == "teardown" and (
            counted := dict(report.user_properties).get("chaos")
        ):
            name = report.nodeid.split("::")[-1].split("[")[0]
            by_test.setdefault(name, Counter()).update(counted)
    if not by_test:
        return
    lines = table(by_test, config.getoption("--chaos-seed", DEFAULT_SEED))
    terminalreporter.section("chaos")
    for line in lines:
        terminalreporter.line(line)
    if path := config.getoption("--chaos-report", None):
        Path(path).write_text("\n".join(lines) + "\n")

"""The ledger's schema: made by its migrations, never newer than the code, and not imported by a DAG file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from offpeak.errors import LedgerConflict, SpecError
from offpeak.ledger import Ledger
from offpeak.ledger.schema import METADATA, REVISIONS, VERSION_TABLE
from tests.ledger.making import NOW, new_run
from tests.ledger.workers import in_threads


def test_a_fresh_ledger_has_exactly_the_schema_of_the_code(ledger: Ledger) -> None:
    with ledger._database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == REVISIONS[-1]


def test_the_code_knows_every_migration_in_order() -> None:
    folder = Path(__file__).parents[2] / "include/offpeak/ledger/migrations"
    found = [script.revision for script in ScriptDirectory(str(folder)).walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS


def test_a_ledger_of_a_newer_offpeak_is_left_alone(ledger_url: str) -> None:
    older = Ledger(ledger_url)
    older.runs()
    with older._database.changing(NOW) as change:
        change.connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(SpecError, match=r"has schema 9999.*a newer Offpeak has used it") as caught:
        Ledger(ledger_url).open_run(new_run(), now=NOW)
    assert "Upgrade Offpeak here, or name another ledger" in str(caught.value)


def test_an_airflow_database_next_to_it_is_not_touched(ledger_url: str) -> None:
    from offpeak.ledger.database import Database

    database = Database(ledger_url)
    with database.changing(NOW) as change:
        change.connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        change.connection.execute(text("INSERT INTO alembic_version VALUES ('airflow')"))
    database.close()
    ledger = Ledger(ledger_url)
    ledger.open_run(new_run(), now=NOW)
    with ledger._database.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "airflow"


def test_two_ledgers_open_at_once_in_one_process(tmp_path: Path) -> None:
    def start(number: int) -> bool:
        return Ledger(f"sqlite:///{tmp_path}/{number}.sqlite").open_run(new_run(), now=NOW)[1]

    assert in_threads(4, start) == [True] * 4


def test_a_sqlite_ledger_survives_a_power_cut_and_does_not_block_its_readers(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    with ledger._database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    other = Ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    with ledger._database.changing(NOW):
        assert other.runs() == []


def test_importing_the_ledger_imports_no_database_code() -> None:
    code = (
        "import sys; from offpeak.ledger import Ledger; Ledger('postgresql://h/d'); "
        "print([name for name in ('sqlalchemy', 'alembic', 'psycopg', 'sqlite3') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"


def test_nothing_is_opened_before_the_first_verb(tmp_path: Path) -> None:
    Ledger(f"sqlite:///{tmp_path}/ledger.sqlite").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_any_spelling_of_a_postgres_address_is_understood(postgres_url: str, scheme: str) -> None:
    ledger = Ledger(postgres_url.replace("postgresql+psycopg", scheme))
    assert ledger.open_run(new_run(), now=NOW)[1] is True
    ledger.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://root:secret@host/db", "mysql://host/db is not a ledger"),
        ("/tmp/ledger.sqlite", "is not a ledger"),
        ("root:secret@host/db", "is not a ledger"),
        ("mysql://root:12/secret@host/db", "is not a ledger"),
        ("mysql://root:12#secret@host/db", "is not a ledger"),
        ("sqlite://", "would forget what was paid"),
        ("sqlite:///:memory:", "would forget what was paid"),
    ],
)
def test_an_address_that_is_no_ledger_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        Ledger(url)
    assert "secret" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=f"folder {tmp_path}/nowhere is not there.*make it first"):
        Ledger(f"sqlite:///{tmp_path}/nowhere/ledger.sqlite").runs()


def test_a_wrong_password_is_told_without_showing_it(postgres_url: str) -> None:
    password = urlsplit(postgres_url).password or ""
    ledger = Ledger(postgres_url.replace(password, "not-the-one"))
    with pytest.raises(LedgerConflict, match=r"could not be used.*password authentication failed") as caught:
        ledger.runs()
    assert caught.value.transient
    assert "not-the-one" not in str(caught.value) + repr(ledger)


def test_a_postgres_that_went_away_between_two_verbs_is_connected_to_again(postgres_url: str) -> None:
    ledger = Ledger(postgres_url)
    run, _ = ledger.open_run(new_run(), now=NOW)
    with Ledger(postgres_url)._database.changing(NOW) as change:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        change.connection.execute(text(f"{others} AND pid <> pg_backend_pid()"))
    assert ledger.run(run.run_id) == run
    ledger.close()

"""`ringway migrate --status`, and what squawk is to find in a migration before a table has to bear it."""

import re
import shutil
import subprocess

import pytest
from server import BINARY, ROOT, Database, clean_environment

MIGRATIONS = ROOT / "deploy/migrations"
NAMES = sorted(path.stem for path in MIGRATIONS.glob("*.sql"))


@pytest.fixture
def database(postgres_url):
    database = Database(postgres_url, migrated=False)
    yield database
    database.drop()


def run_migrate(database, *arguments, migrations=MIGRATIONS):
    return subprocess.run(
        [BINARY, "migrate", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env=clean_environment(RINGWAY_POSTGRES_URL=database.url, RINGWAY_MIGRATIONS=str(migrations)))


def migrate(database, *arguments, migrations=MIGRATIONS):
    done = run_migrate(database, *arguments, migrations=migrations)
    assert done.returncode in (0, 3, 4), done.stderr
    return done.returncode, done.stdout


def states(output):
    """What is said of each migration, by its name."""
    return dict(re.fullmatch(r"(\S+) +(.*)", line).groups() for line in output.splitlines())


def test_status_tells_what_is_pending_and_changes_nothing(database):
    for _ in range(2):
        code, output = migrate(database, "--status")
        assert (code, states(output)) == (3, dict.fromkeys(NAMES, "pending"))
    assert database.sql("SELECT to_regclass('ringway_migrations') IS NULL") == "t"


def test_status_tells_what_is_applied_and_when(database):
    assert migrate(database) == (0, "".join(f"applied {name}\n" for name in NAMES))
    code, output = migrate(database, "--status")
    assert code == 0
    assert list(states(output)) == NAMES
    assert all(re.fullmatch(r"applied \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", state) for state in states(output).values())
    assert migrate(database) == (0, "nothing to apply; the schema is current\n")


def test_a_database_of_a_newer_program_is_not_called_current(database, tmp_path):
    migrate(database)
    directory = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, directory)
    (directory / f"{NAMES[-1]}.sql").unlink()
    code, output = migrate(database, migrations=directory)
    assert code == 0
    assert output.startswith("nothing to apply; the database has migrations of a newer ringway")


def test_a_refusal_is_told_in_postgres_own_words(database, tmp_path):
    directory = tmp_path / "migrations"
    directory.mkdir()
    (directory / "0001_twice.sql").write_text("CREATE TABLE a (b int); CREATE TABLE a (b int)")
    done = run_migrate(database, migrations=directory)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        'ringway: migrations: 0001_twice was refused and rolled back: relation "a" already exists, SQLSTATE 42P07')


@pytest.mark.parametrize("how", ["changed", "unknown", "out of order"])
def test_status_tells_what_is_wrong(how, database, tmp_path):
    migrate(database)
    directory = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, directory)
    name = NAMES[0]
    if how == "changed":
        (directory / f"{name}.sql").write_text("SELECT 1")
    elif how == "unknown":
        (directory / f"{name}.sql").unlink()
    else:
        name = "0000_early"
        (directory / f"{name}.sql").write_text("SELECT 1")
    code, output = migrate(database, "--status", migrations=directory)
    assert code == 4
    assert states(output)[name].startswith(how)
    others = {key: value for key, value in states(output).items() if key != name}
    assert all(state.startswith("applied ") for state in others.values())


# What would stop or break a table that is in use, and the rule that knows.
HARMFUL = {
    "ALTER TABLE a ALTER COLUMN b TYPE bigint;": "changing-column-type",
    "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);": "constraint-missing-not-valid",
    "ALTER TABLE a ADD COLUMN b bigint NOT NULL;": "adding-required-field",
    "CREATE INDEX c ON a (b);": "require-concurrent-index-creation",
    "ALTER TABLE a RENAME COLUMN b TO c;": "renaming-column",
    "ALTER TABLE a DROP COLUMN b;": "ban-drop-column",
    "DROP TABLE a;": "ban-drop-table",
}


def check(*files):
    return subprocess.run(
        [ROOT / "scripts/migrations.sh", *files], capture_output=True, text=True, timeout=60, check=False)


def test_the_migrations_as_they_are_pass():
    done = check()
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("statement", HARMFUL)
def test_a_migration_that_no_live_table_bears_is_found(statement, tmp_path):
    path = tmp_path / "9999_harmful.sql"
    path.write_text(f"-- It does harm.\n{statement}\n")
    done = check(path)
    assert done.returncode == 1
    assert HARMFUL[statement] in done.stdout


def test_an_index_may_be_made_outside_of_a_transaction(tmp_path):
    path = tmp_path / "9999_harmless.sql"
    path.write_text("-- outside of a transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS c ON a (b);\n")
    done = check(path)
    assert (done.returncode, done.stdout) == (0, "")

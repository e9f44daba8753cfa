"""What Postgres writes down of the statements that a server runs (auto_explain): each with its plan, and the rows that
every step of it really read, those inside of functions too.
"""

import json
import re
import time
from urllib.parse import quote

_SETTINGS = ("auto_explain.log_min_duration=0", "auto_explain.log_analyze=on", "auto_explain.log_timing=off",
             "auto_explain.log_verbose=on", "auto_explain.log_nested_statements=on", "auto_explain.log_format=json")
# For a session that has loaded it by itself.
EXPLAIN_HERE = "; ".join("SET " + setting for setting in _SETTINGS)


def explained(database):
    """The URL under which whatever a server does to a database is written down."""
    settings = ("session_preload_libraries=auto_explain", *_SETTINGS)
    return database.url + "&options=" + quote(" ".join("-c " + setting for setting in settings))


class Plans:
    """The plans that a database's server has written to its log since this was made."""

    def __init__(self, database):
        self._database = database
        self._log = "/proc/self/fd/2"
        self._settle()
        self._begin = int(database.sql(f"SELECT size FROM pg_stat_file('{self._log}')"))

    def _settle(self):
        """Until all that was begun has been written down. The plan of a transaction's last statement is written when the
        transaction ends, and no answer waits for the end of one that is rolled back."""
        busy = """SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND state <> 'idle'
              AND pid <> pg_backend_pid()"""
        deadline = time.monotonic() + 20
        while self._database.sql(busy) != "0":
            assert time.monotonic() < deadline, "the database does not come to rest"

    def read(self):
        """Statements and the root nodes of their plans."""
        self._settle()
        text = self._database.sql(f"SELECT pg_read_file('{self._log}', {self._begin}, 1000000000)")
        found = re.findall(r"LOG:  duration: [0-9.]+ ms  plan:\n(\t\{\n.*?\n\t\})(?=\n[^\t]|\Z)", text, re.DOTALL)
        plans = [json.loads(plan.replace("\n\t", "\n")) for plan in found]
        return [(plan["Query Text"], plan["Plan"]) for plan in plans]


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)

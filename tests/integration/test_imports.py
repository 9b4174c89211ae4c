"""What the processes that run for months must not import: each megabyte is there once for each of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

ONLY_AT_TIMES = {
    "alembic",
    "mako",
    "ofxtools",
    "watchfiles",
    "psycopg",
    "sqlalchemy.dialects.postgresql",
    "bridge.simulator",
}
FOR_THE_WEB = {"flask", "jinja2", "prometheus_client", "waitress", "werkzeug"}
FORBIDDEN = {
    "web": ONLY_AT_TIMES,
    "worker": ONLY_AT_TIMES | FOR_THE_WEB,
    "sweeper": ONLY_AT_TIMES | FOR_THE_WEB,
}
ONE_COMMAND = {"bridge.cli.demo", "bridge.cli.doctor", "bridge.cli.mappings", "bridge.cli.testcharge"}
SCRIPT = """
import ast, inspect, sys, textwrap
from bridge.cli.main import cli

command = cli.get_command(None, sys.argv[1])
# What the command imports when it runs stands at its beginning.
body = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(command.callback)))).body[0].body
for node in body:
    if isinstance(node, ast.ImportFrom):
        exec(ast.unparse(node))
print(*sorted(sys.modules))
"""


def imported_by(script: str, *arguments: str) -> set[str]:
    """Return the modules that are there when the script, which prints their names, has ended."""
    told = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return set(told.stdout.split())


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_process_imports_only_what_it_works_with(name: str) -> None:
    """Migrations, tables for a terminal, the demo, the other commands and a database not in use stay out of it."""
    imported = imported_by(SCRIPT, name)

    assert {"bridge.runtime", "bridge.cli.processes"} <= imported
    assert imported & (FORBIDDEN[name] | ONE_COMMAND) == set()

"""What libraries import only because it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LOOK = """
import sys
from bridge import spared
spared.start()
{first}
import httpx, redis, structlog
print(sorted({{"rich", "pygments", "opentelemetry"}} & sys.modules.keys()))
import rich.console, opentelemetry.sdk.metrics
"""


@pytest.mark.parametrize(("first", "there"), [("", "[]"), ("import rich", "['pygments', 'rich']")])
def test_libraries_do_without_and_we_do_not(first: str, there: str) -> None:
    """Nothing of it is loaded for them, and everything can be for who asks; what is loaded already, they have."""
    run = subprocess.run([sys.executable, "-c", LOOK.format(first=first)], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == there


def test_a_process_is_spared() -> None:
    """The long-running commands begin by it."""
    look = (
        "import runpy, sys\n"
        "sys.argv = ['bridge', 'worker', '--help']\n"
        "try:\n    runpy.run_module('bridge', run_name='__main__')\nexcept SystemExit:\n    pass\n"
        "import bridge.runtime\n"
        "print(sorted({'pygments', 'opentelemetry'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert run.stdout.splitlines()[-1] == "[]"


def test_who_only_reads_mappings_has_nothing_of_what_their_values_need() -> None:
    """The sweeper and the web's first process: phones, currencies, names of months and patterns are 2.5 MB."""
    look = (
        "import sys\n"
        "from pathlib import Path\n"
        "import bridge.runtime\n"
        "from bridge.mapping import Known, read_directory\n"
        "print(all(read.mapping for read in read_directory(Path('mappings'), Known(None, None))))\n"
        "print(sorted({'babel', 'phonenumbers', 'regex'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, cwd=ROOT)

    assert run.stdout.splitlines() == ["True", "[]"]

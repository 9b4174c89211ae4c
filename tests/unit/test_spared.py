"""What libraries import only because it is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

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

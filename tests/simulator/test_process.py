"""The simulators as processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from bridge.simulator.__main__ import main
from tests import asking


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start a simulator and give it with its address."""
    command = [sys.executable, "-m", "bridge.simulator", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    return process, line.strip().rpartition(" ")[2]


@pytest.mark.parametrize(
    ("arguments", "path", "header"),
    [
        (("asaas", "--key", "$aact_hmlg_x", "--webhook-time-scale", "0.01"), "/v3/customers", "access_token"),
        (("clint", "--token", "$aact_hmlg_x"), "/v1/deals", "api-token"),
    ],
)
def test_process_answers_until_its_signal(arguments: tuple[str, ...], path: str, header: str) -> None:
    """A simulator prints its address, answers with the key it was told, has its knobs, and leaves on SIGTERM with 0."""
    process, url = start(*arguments)
    with process:
        assert asking.get(url + path, headers={header: "$aact_hmlg_x"}).status_code == 200
        assert asking.get(url + path).status_code == 401
        assert asking.get(f"{url}/_sim/state").status_code == 200
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0


def test_wrong_use_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a simulator's name the command says how it is used."""
    with pytest.raises(SystemExit) as left:
        main([])

    assert left.value.code == 2
    assert "asaas" in capsys.readouterr().err

"""What a demo stands on: a directory of its own, an environment without the operator's secrets, two simulators.

Nothing of the operator's own bridge may be touched: neither the journal nor the variables that name real accounts.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import string
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from bridge import private_files
from bridge.cli.local import LOOPBACK
from bridge.cli.mapping_source import starters
from bridge.cli.supervise import Child
from bridge.errors import DemoRefused
from bridge.http import nobody
from bridge.mapping import Known, read_directory
from bridge.mapping.switching import switched
from bridge.settings import DEFAULT, SETTINGS
from bridge.simulator.asaas import DEFAULT_KEY
from bridge.simulator.asaas.events import NAMES
from bridge.simulator.clint import INTEGRATIONS

_MARK = ".bridge-demo"
FUNNEL = "exemplo_etapas_do_funil.yaml"
_OURS = ("ASAAS_", "CLINT_", "BRIDGE_")
_TIME_SCALE = "0.02"
"""How much faster than Asaas the simulator tries again what the bridge did not take."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything of one demo is."""

    directory: Path
    mappings: Path
    asaas_url: str
    clint_url: str
    bridge_port: int
    webhook_token: str
    destinations: Mapping[str, str]
    """The id of the simulated integration for each destination that the mappings name."""

    def environ(self) -> dict[str, str]:
        """Return the environment of the demo's bridge: nothing of the operator's own settings is in it."""
        names = {setting.name for setting in SETTINGS}
        environ = {k: v for k, v in os.environ.items() if k not in names and not k.startswith(_OURS)}
        environ |= {
            "ASAAS_API_KEY": DEFAULT_KEY,
            "ASAAS_API_URL": f"{self.asaas_url}/v3",
            "ASAAS_WEBHOOK_TOKEN": self.webhook_token,
            "BRIDGE_DATA_DIR": str(self.directory),
            "BRIDGE_MAPPINGS_DIR": str(self.mappings),
            "BRIDGE_ALLOW_PRIVATE_DESTINATIONS": "1",
            "BRIDGE_HOST": LOOPBACK,
            "PORT": str(self.bridge_port),
        }
        for name, identity in self.destinations.items():
            variable = "CLINT_WEBHOOK_URL" if name == DEFAULT else f"CLINT_WEBHOOK_URL_{name.upper()}"
            environ[variable] = f"{self.clint_url}/endpoints/integration/webhook/{identity}"
        return environ

    def simulators(self) -> list[Child]:
        """Return the processes of the simulated Asaas and Clint."""
        asaas = ["asaas", "--port", _port(self.asaas_url), "--webhook-time-scale", _TIME_SCALE]
        clint = ["clint", "--port", _port(self.clint_url)]
        start = [sys.executable, "-m", "bridge.simulator"]
        return [Child(words[0], [*start, *words], self.environ()) for words in (asaas, clint)]

    def connect(self) -> None:
        """Set up what an operator sets up by hand: the webhook in Asaas, the integrations in Clint."""
        with httpx.Client(timeout=10, verify=nobody(), trust_env=False) as http:
            for name, identity in self.destinations.items():
                if name not in INTEGRATIONS:
                    # A funnel of its own: in that of the charges it would move their deals.
                    funnel = {"name": name, "stages": ["Entrada"]}
                    http.post(f"{self.clint_url}/_sim/origins", json=funnel).raise_for_status()
                    integration = {"name": name, "uuid": identity, "origin": name, "stage": "Entrada"}
                    http.post(f"{self.clint_url}/_sim/integrations", json=integration).raise_for_status()
            webhook = {
                "name": "bridge",
                "url": f"http://{LOOPBACK}:{self.bridge_port}/webhooks/asaas",
                "email": "operador@example.com",
                "enabled": True,
                "interrupted": False,
                "apiVersion": 3,
                "authToken": self.webhook_token,
                "sendType": "SEQUENTIALLY",
                "events": sorted(NAMES),
            }
            headers = {"access_token": DEFAULT_KEY, "User-Agent": "bridge-demo"}
            http.post(f"{self.asaas_url}/v3/webhooks", json=webhook, headers=headers).raise_for_status()


def set_stage(directory: Path, ports: tuple[int, int, int]) -> Stage:
    """Return the stage of a new demo in an empty directory; the ports are the bridge's, Asaas's and Clint's."""
    mappings = directory / "mappings"
    copy_mappings(find_mappings(), mappings)
    bridge, asaas, clint = ports
    return Stage(
        directory,
        mappings,
        f"http://{LOOPBACK}:{asaas}",
        f"http://{LOOPBACK}:{clint}",
        bridge,
        _new_token(),
        _destinations(mappings),
    )


def take_directory(directory: Path) -> IO[bytes]:
    """Empty the demo's directory, or make it, and return what holds it until it is closed.

    Raises DemoRefused where another demo runs in it, or where it holds what no demo made.
    """
    mark = directory / _MARK
    if directory.exists() and not mark.exists() and any(directory.iterdir()):
        raise DemoRefused(
            "the demo empties its directory, and this one holds other things",
            where=str(directory),
            mend="move them, or set BRIDGE_DATA_DIR",
        )
    private_files.make_directory(directory)
    hold = mark.open("wb")
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        hold.close()
        raise DemoRefused(
            "another demo runs already", where=str(directory), mend="end it with Ctrl-C, or set BRIDGE_DATA_DIR"
        ) from None
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != mark:
            path.unlink()
    return hold


def find_mappings() -> Path:
    """Return the operator's mapping files, else those that came with the bridge."""
    told = os.environ.get("BRIDGE_MAPPINGS_DIR", "").strip()
    places = [Path(told)] if told else [Path("mappings"), starters()]
    for place in places:
        if place.is_dir():
            return place.resolve()
    raise DemoRefused(
        "there are no mapping files", where=str(places[0]), mend="set BRIDGE_MAPPINGS_DIR, or run: bridge mappings init"
    )


def copy_mappings(source: Path, target: Path) -> None:
    """Copy mapping files and samples, so that what is changed in the demo's console changes no file of the operator.

    In the copy the funnel with a stage for each situation is on, and the files that send the same charges are off.
    """
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file() and path.suffix in {".yaml", ".yml"}:
            shutil.copyfile(path, target / path.name)
    if (source / "samples").is_dir():
        shutil.copytree(source / "samples", target / "samples")
    if (target / FUNNEL).exists():
        for pattern, on in (("cobranca_*.yaml", False), ("exemplo_etapas_*.yaml", True)):
            for path in target.glob(pattern):
                path.write_text(switched(path.read_text(encoding="utf-8"), on=on), encoding="utf-8")


def _destinations(mappings: Path) -> dict[str, str]:
    """Return an integration for every destination that a mapping may send to."""
    read = [item.mapping for item in read_directory(mappings, Known(None, None, mappings)) if item.mapping]
    named = {name for mapping in read for name in mapping.destinations if re.fullmatch(r"[a-z0-9][a-z0-9_]*", name)}
    return {name: str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in sorted(named)} | INTEGRATIONS


def _new_token() -> str:
    # Letters and digits in turn: Asaas takes no token with four equal letters or five rising digits in a row.
    return "".join(secrets.choice(string.ascii_letters) + secrets.choice(string.digits) for _ in range(20))


def _port(url: str) -> str:
    return url.rpartition(":")[2]

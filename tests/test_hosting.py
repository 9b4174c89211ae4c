"""The files that a host reads: what they name exists, nothing runs as root, no settings get into an image."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.cli.main import cli
from bridge.settings import SETTINGS, Settings
from tests.documents import command_faults
from tests.peers import Peer, Reply, closed_port

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
APP: dict[str, Any] = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
IMAGE_SETTINGS = {"BRIDGE_HOST", "BRIDGE_DATA_DIR", "BRIDGE_MAPPINGS_DIR"}


def instructions(name: str) -> list[str]:
    """Return what follows an instruction of the Dockerfile, each time it stands there."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split(None, 1)[1].strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_the_image_runs_without_root() -> None:
    """By a number, so that a host can see it."""
    assert instructions("USER") == ["10001"]
    assert "--uid 10001" in DOCKERFILE


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    """The ignore file lets through exactly what is copied: no .env, no journal."""
    copied = {
        source
        for words in map(str.split, instructions("COPY"))
        if not words[0].startswith("--from")
        for source in words[:-1]
    }
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)


def test_everything_installed_is_locked() -> None:
    """Each pip install is by hashes, or of what was built here and without an index."""
    installs = re.findall(r"pip (?:install|wheel) [^&\n]*", " \n".join(instructions("RUN")))

    assert len(installs) == 4
    assert all("--require-hashes" in one or "--no-index" in one or "--no-build-isolation" in one for one in installs)


def test_the_image_knows_the_settings() -> None:
    """A setting that was renamed would be ignored without a word."""
    given = dict(re.findall(r"\b([A-Z_]+)=(\S+)", " ".join(instructions("ENV"))))
    ours = {name: value for name, value in given.items() if name.startswith("BRIDGE_")}

    assert set(ours) == IMAGE_SETTINGS
    assert Settings.from_env(ours).bridge_host == "0.0.0.0"  # noqa: S104 (in a container)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check_asks_the_web_process(status: int | None, healthy: bool) -> None:
    """What the image runs, against a server that answers, one that does not feel well, and none."""
    (line,) = [one for one in instructions("HEALTHCHECK") if "CMD" in one]
    _, script, code = json.loads(line.split("CMD", 1)[1])

    def checked(port: int) -> bool:
        environment = {**os.environ, "PORT": str(port)}
        return (
            subprocess.run([sys.executable, script, code], env=environment, capture_output=True, check=False).returncode
            == 0
        )

    if status is None:
        with closed_port() as port:
            assert checked(port) is healthy
        return
    with Peer(Reply(status=status)) as web:
        assert checked(web.port) is healthy
        assert [asked.path for asked in web.asked] == ["/healthz"]


def test_each_command_exists() -> None:
    """Of the image, the services and the Procfile: with options that it knows."""
    commands = [shlex.join(SERVICES[name]["command"]) for name in OURS]
    commands += [shlex.join(json.loads(instructions("CMD")[0]))]
    commands += [line.split(": ", 1)[1] for line in (ROOT / "Procfile").read_text().splitlines()]
    fences = "\n".join(f"```bash\n{command}\n```" for command in commands)

    assert command_faults(fences, "compose.yaml", cli, "") == []
    assert set(APP["formation"]) == {"web", "worker"}


def test_services_wait_for_what_is_there() -> None:
    """For services that exist, with conditions that can come true; volumes are declared."""
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            other = SERVICES[name]
            if how["condition"] == "service_healthy":
                assert "test" in other["healthcheck"]
            else:
                assert how["condition"] == "service_completed_successfully"
                assert other["restart"] == "no"
        named = {volume.split(":")[0] for volume in service.get("volumes", []) if not volume.startswith(".")}
        assert named <= set(COMPOSE["volumes"])


def test_services_are_closed() -> None:
    """Ours have no capability, a read-only file system and time to end; only loopback is opened."""
    for name in OURS:
        service = SERVICES[name]
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["stop_grace_period"] == "30s"
        assert name == "web" or service["healthcheck"] == {"disable": True}
    opened = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert opened == ["127.0.0.1:8000:8000"]


def test_a_buildpack_finds_the_project_and_its_python() -> None:
    """Heroku's refuses a repository without requirements.txt; the Python is the image's."""
    assert (ROOT / "requirements.txt").read_text() == ".\n"
    assert f"FROM python:{(ROOT / '.python-version').read_text().strip()}-slim" in DOCKERFILE


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("rediss://:p@ec2-1-2-3-4.compute-1.amazonaws.com:7050", "?ssl_cert_reqs=none"),
        ("rediss://:p@ec2-1-2-3-4.compute-1.amazonaws.com:7050?db=1", ""),
        ("redis://:p@ec2-1-2-3-4.compute-1.amazonaws.com:7050", ""),
        ("rediss://:p@master.x.cache.amazonaws.com:6379", ""),
        ("rediss://:p@redis.example:6379", ""),
        ("", ""),
    ],
)
def test_only_the_redis_of_heroku_goes_without_a_check(url: str, more: str) -> None:
    """Its certificate is signed by nobody; every other one is checked."""
    script = '. ./.profile; printf %s "$REDIS_URL"'
    done = subprocess.run(
        ["bash", "-euc", script], env={"REDIS_URL": url}, cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == url + more


def test_a_host_that_reads_no_procfile_is_told_its_commands() -> None:
    """The example of fly.toml has each process and the release line."""
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "hosting.md").read_text(), re.DOTALL)
    fly = tomllib.loads(example)
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())

    assert fly["deploy"]["release_command"] == lines.pop("release")
    assert fly["processes"] == {name: line.replace(" --host 0.0.0.0", "") for name, line in lines.items()}


def test_settings_named_for_a_host_exist() -> None:
    """A misspelt one would be asked for and never read."""
    known = {setting.name for setting in SETTINGS}

    assert set(APP["env"]) <= known
    assert {name for service in OURS for name in SERVICES[service]["environment"]} <= known


def test_no_host_of_a_registry_is_named() -> None:
    """Images and packages come from where the machine is set up to get them."""
    images = [service["image"] for service in SERVICES.values()] + [line.split()[0] for line in instructions("FROM")]

    assert all("/" not in image for image in images)

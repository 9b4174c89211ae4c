"""Runs commands in this process, as an operator would in a directory of their own, with an environment of their own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import structlog
from click.testing import CliRunner

from bridge.cli.main import cli
from bridge.journal import Journal
from tests.acceptance.forked import Forked
from tests.factories import opened_journal

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Said:
    """What a command printed, and its status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)


class Commands:
    """A data directory, mapping files and the settings that commands see."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mappings = directory / "mappings"
        self.mappings.mkdir()
        self.environ = {"BRIDGE_DATA_DIR": str(directory / "data"), "BRIDGE_MAPPINGS_DIR": str(self.mappings)}

    @property
    def journal_url(self) -> str:
        """The URL of the journal that the commands open."""
        return f"sqlite:///{self.directory}/data/journal.sqlite3"

    @contextlib.contextmanager
    def journal(self) -> Iterator[Journal]:
        """Give the journal that the commands open, of this version's schema."""
        with opened_journal(self.journal_url) as journal:
            yield journal

    def has_mapping(self, name: str, text: str) -> None:
        """Write a mapping file."""
        (self.mappings / f"{name}.yaml").write_text(text, encoding="utf-8")

    def run(self, *arguments: str, lines: str = "", **environ: str) -> Said:
        """Run one command; `lines` are what its standard input holds."""
        try:
            result = CliRunner(env={**self.environ, **environ}).invoke(cli, list(arguments), lines, prog_name="bridge")
        finally:
            # The streams of the run are closed: what logs later must not find them.
            structlog.reset_defaults()
            logging.getLogger().handlers.clear()
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    def process(self, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start a command as a process of its own."""
        environ = {**os.environ, **self.environ, **more.pop("environ", {})}
        return subprocess.Popen([sys.executable, "-m", "bridge", *arguments], cwd=ROOT, env=environ, **more)

    def on_terminal(self, *arguments: str, types: str = "", **environ: str) -> Said:
        """Run one command on a terminal, where somebody types."""
        ours, theirs = pty.openpty()
        with tempfile.NamedTemporaryFile() as err:
            with Connection(theirs) as terminal:
                environ = {**os.environ, **self.environ, "COLUMNS": "200", **environ}
                process = Forked([sys.executable, "-m", "bridge", *arguments], environ, Path(err.name), terminal)
            os.write(ours, types.encode())
            seen = b""
            with contextlib.suppress(OSError):  # the other end is closed: that is how a terminal says it
                while chunk := os.read(ours, 65536):
                    seen += chunk
            os.close(ours)
            return Said(process.wait(), seen.decode(), err.read().decode())

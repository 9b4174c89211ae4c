"""Standard output that can't be written: its writer goes on, and what is lost is counted."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click
import pytest

from bridge import logs
from bridge.cli.output import console
from bridge.logs import QueuedOutput
from tests.factories import until


@contextmanager
def queued(stream: TextIO, queue_limit: int = 100) -> Iterator[tuple[QueuedOutput, list[int], list[int]]]:
    """Give the output, the numbers of each drop, and those that were told once writing worked again."""
    told: list[int] = []
    dropped: list[int] = []
    output = QueuedOutput(stream, told.append, queue_limit=queue_limit)
    output.on_dropped = dropped.append
    yield output, dropped, told
    output.finish()


@contextmanager
def pipe(*, fill: bool = False) -> Iterator[tuple[int, TextIO]]:
    """Give both ends of a pipe, which has no room where it is filled."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    if fill:
        os.write(write, b"." * 4096)
    with open(write, "w", closefd=True) as stream:
        yield read, stream


def test_what_is_written_comes_in_order(tmp_path: Path) -> None:
    """Records, click's and rich's output are whole lines in the file when the process ends."""
    with (tmp_path / "log").open("w") as stream, queued(stream) as (output, dropped, _):
        output.write("é um\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            click.echo("dois")
            console().print("três")
        output.write("\ud800\n")

    assert (tmp_path / "log").read_text() == "é um\ndois\ntrês\n\\ud800\n"
    assert dropped == []


def test_a_full_disk_fails_no_writer() -> None:
    """Each line that the system does not take is dropped and counted."""
    with open("/dev/full", "w") as stream, queued(stream) as (output, dropped, told):
        for number in range(3):
            output.write(f"{number}\n")
            output.flush()
        until(lambda: sum(dropped) == 3)
        assert told == []


def test_a_pipe_whose_reader_is_gone_fails_no_writer() -> None:
    """As with `bridge up | cat` after cat has ended."""
    with pipe() as (read, stream), queued(stream) as (output, dropped, _):
        os.close(read)
        output.write("one\n")
        until(lambda: dropped == [1])


def test_a_reader_that_stands_still_blocks_no_writer() -> None:
    """A full queue drops what comes; once the reader goes on, the number is told, and later lines come whole."""
    with pipe(fill=True) as (read, stream), queued(stream, queue_limit=5) as (output, dropped, told):
        for _ in range(50):
            output.write("a line that waits or is dropped\n")
        assert sum(dropped) >= 50 - 2 * 5
        os.read(read, 4096)
        until(lambda: told)
        assert sum(told) == sum(dropped)
        output.write("later\n")
        os.set_blocking(read, False)
        seen = b""

        def has_later() -> bool:
            nonlocal seen
            seen += os.read(read, 4096)
            return b"\nlater\n" in seen

        until(has_later)
        os.close(read)


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    """A disk that fills in the middle of a line: the next line begins on a line of its own, and the loss is told."""
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = tmp_path / "log"
    try:
        with path.open("w") as stream, queued(stream) as (output, dropped, told):
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
            output.write("0123456789abcdef\n")
            until(lambda: dropped == [1])
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            output.write("next\n")
            until(lambda: told == [1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert path.read_text() == "0123456789\nnext\n"


def test_a_command_s_work_goes_on_without_its_log() -> None:
    """A record to a standard error that takes nothing is lost without an error."""
    import logging

    import structlog

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with open("/dev/full", "w", buffering=1) as stream:
            logs.configure("info", stream=stream)
            logs.logger("bridge").error("command.failed")
            with pytest.raises(OSError, match="No space"):
                stream.close()
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level

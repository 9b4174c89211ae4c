"""A disk of a few megabytes, a mounted tmpfs: it is full at once, and nothing else suffers. Needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class DiskMissing(Exception):
    """This machine can't mount a disk for a test."""


@contextmanager
def small_disk(where: Path, megabytes: int) -> Iterator[None]:
    """Mount a disk of that size there for the block; raise DiskMissing."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "bridge-torture", str(where)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise DiskMissing(f"{' '.join(command)}: {told.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=False)


@contextmanager
def full(where: Path) -> Iterator[None]:
    """Fill the disk to its last byte for the block."""
    ballast = where / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(where: Path) -> Iterator[None]:
    """Let the directory be one that nobody can write to, for what opens it within the block."""
    subprocess.run(["mount", "--bind", str(where), str(where)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(where)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True)

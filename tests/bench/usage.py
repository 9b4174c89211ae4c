"""What processes use, read from /proc: memory and CPU time of a process and of all it started. Linux only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory; `pss_mb` divides what processes share among them, so that sums are true."""

    rss_mb: float
    pss_mb: float


def family(pid: int) -> list[int]:
    """Return the process and all that it started which still live."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in _read(children).split()]
    return found


def memory(pids: Iterable[int]) -> Memory:
    """Return what these processes hold together."""
    texts = [_read(Path(f"/proc/{pid}/smaps_rollup")) for pid in pids]
    return Memory(sum(_kb(text, "Rss") for text in texts) / 1024, sum(_kb(text, "Pss") for text in texts) / 1024)


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU time that these processes have used so far."""
    ticks = 0
    for pid in pids:
        # The name in brackets may have spaces; utime and stime are the 14th and 15th field.
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12]) if fields else 0
    return ticks / _TICKS_PER_S


def _kb(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return ""

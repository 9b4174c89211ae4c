"""Memory that was freed in the middle of a thread's arena goes back to the machine."""

from __future__ import annotations

import ctypes
import subprocess
import sys

from tests.missing import cannot_have

STORY = """
import threading, time
from pathlib import Path
from bridge.trimming import keep_trimmed

def held_mb():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:")) / 1024

def batch():
    rows = [bytearray(8_000) for _ in range(5_000)]
    kept.extend(rows[::50])

kept = []
before_mb = held_mb()
thread = threading.Thread(target=batch)
thread.start()
thread.join()
left_mb = held_mb() - before_mb
assert left_mb > 20, left_mb
keep_trimmed(every_s=0.05)
ends_s = time.monotonic() + 30
while held_mb() - before_mb > left_mb / 4:
    assert time.monotonic() < ends_s, (left_mb, held_mb() - before_mb)
    time.sleep(0.05)
print("given back")
"""


def test_what_a_batch_took_is_given_back_though_a_few_of_its_rows_are_kept() -> None:
    """40 MB are taken by a thread, 39 of them freed."""
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        cannot_have("malloc_trim", "the C library is not glibc")

    told = subprocess.run([sys.executable, "-c", STORY], capture_output=True, text=True, timeout=60)

    assert (told.stdout, told.stderr) == ("given back\n", "")

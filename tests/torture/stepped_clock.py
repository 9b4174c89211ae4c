"""`python stepped_clock.py FILE MODULE ARGUMENT...`: a machine whose clock is ahead by the seconds that a file says.

Only the clock on the wall is wrong, and is set while the process runs; what counts seconds counts them truly.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

knob, sys.argv = Path(sys.argv[1]), sys.argv[2:]
_time, _time_ns = time.time, time.time_ns


def _ahead_s() -> float:
    return float(knob.read_text() or 0)


time.time = lambda: _time() + _ahead_s()
time.time_ns = lambda: _time_ns() + int(_ahead_s() * 1e9)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

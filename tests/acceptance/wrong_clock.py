"""`python wrong_clock.py SECONDS MODULE ARGUMENT...`: runs a module on a machine whose clock is so many seconds ahead.

Only the clock on the wall is wrong, as on a machine without NTP; what counts seconds counts them truly.
"""

from __future__ import annotations

import runpy
import sys
import time

ahead_s, sys.argv = float(sys.argv[1]), sys.argv[2:]
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + ahead_s
time.time_ns = lambda: _time_ns() + int(ahead_s * 1e9)
sys.path[0] = ""
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

"""When Python looks for garbage: not while a process starts or ends, where there is none and each look costs.

Of the 2.0 s of one processor that `bridge web` took to start and end, the collector's default took 0.8 s: it looked
through all that had been imported again and again, and once more at the end.
"""

from __future__ import annotations

import atexit
import gc

_WHILE_STARTING = 100_000
_WHILE_RUNNING = 10_000
"""New objects that make it look; Python's own 700 makes it look while a request is answered."""


def start() -> None:
    """Look seldom, and at the end not at all; to be called before the imports that take long."""
    gc.set_threshold(_WHILE_STARTING, 10, 10)
    atexit.register(gc.freeze)


def settle() -> None:
    """Set aside all that there is now, and look oftener; to be called by a process that runs for long, once it is made.

    What is set aside also stays one memory for the processes that a web server forks: a look would write into it. It is
    not looked through before: that took a tenth of a start, and found one object in eighty to be garbage.
    """
    gc.freeze()
    gc.set_threshold(_WHILE_RUNNING, 10, 10)

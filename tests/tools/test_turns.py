"""Who may run beside whom."""

from __future__ import annotations

import threading
from uuid import uuid4

from tests.turns import turn


def test_alone_waits_for_those_who_run_and_holds_up_those_who_come() -> None:
    """Others run side by side; who wants to be alone waits for them, and goes before whoever comes later."""
    run, seen = uuid4().hex, []
    inside, leave = threading.Barrier(3), threading.Event()

    def others() -> None:
        with turn(run, alone=False):
            inside.wait(10)
            leave.wait(10)
            seen.append("beside")

    def alone() -> None:
        with turn(run, alone=True):
            seen.append("alone")

    def later() -> None:
        with turn(run, alone=False):
            seen.append("later")

    running = [threading.Thread(target=others) for _ in range(2)]
    for thread in running:
        thread.start()
    inside.wait(10)
    waiting = [threading.Thread(target=alone)]
    waiting[0].start()
    waiting[0].join(0.1)
    waiting.append(threading.Thread(target=later))
    waiting[1].start()
    waiting[1].join(0.1)
    assert seen == []
    leave.set()
    for thread in (*running, *waiting):
        thread.join(10)

    assert seen == ["beside", "beside", "alone", "later"]

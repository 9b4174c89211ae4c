"""The pause of the sending loop's selector: only while much is under way, and only where it would wait anyway."""

from __future__ import annotations

import selectors
import socket
import time

import pytest

from bridge.clint.pausing import PAUSE_S, PausingSelector


@pytest.mark.parametrize(
    ("busy", "timeout", "pauses"),
    [(True, None, True), (True, 5.0, True), (True, 0.0, False), (True, PAUSE_S / 2, False), (False, None, False)],
)
def test_it_pauses_only_where_that_pays(busy: bool, timeout: float | None, pauses: bool) -> None:
    """What is ready is returned in any case; a loop with something to do at once is never held up."""
    asked: list[bool] = []

    def is_busy() -> bool:
        asked.append(busy)
        return busy

    here, there = socket.socketpair()
    with here, there, PausingSelector(is_busy) as selector:
        selector.register(here, selectors.EVENT_READ)
        there.send(b"x")
        began_s = time.monotonic()
        ready = selector.select(timeout)
        took_s = time.monotonic() - began_s

    assert [key.fileobj for key, _ in ready] == [here]
    assert asked == ([] if timeout is not None and timeout <= PAUSE_S else [busy])
    assert took_s >= PAUSE_S or not pauses

"""Runs the machine for so many steps on a database."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import cast

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.protocol import LaneProtocol

STEPS_EACH = 50
"""Steps of one sequence, at most."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How far a run came without a breach."""

    steps: int
    sequences: int


def run(machine: type[LaneProtocol], url: str, steps: int, *, drawn_by: int, shrink: bool = True) -> Ran:
    """Run sequences until the machine has made at least so many steps; raise what broke a promise.

    The same number draws the same sequences, those of each round other ones.
    """
    told = cast("type[LaneProtocol]", type(machine.__name__, (machine,), {"url": url, "steps": 0, "sequences": 0}))
    rounds = count(drawn_by)
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    while told.steps < steps:
        wanted = max(1, (steps - told.steps) // STEPS_EACH)
        run_state_machine_as_test(
            seed(next(rounds))(told),
            settings=settings(
                max_examples=wanted,
                stateful_step_count=STEPS_EACH,
                deadline=None,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
            ),
        )
    return Ran(told.steps, told.sequences)

"""The lane protocol's state machine keeps its promises for a short while; `make model` runs thousands of steps."""

from __future__ import annotations

import pytest

from tests.model.protocol import LaneProtocol
from tests.model.run import run


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
def test_the_lane_protocol_keeps_its_promises(url: str, request: pytest.FixtureRequest) -> None:
    """In a few sequences, each drawn anew."""
    assert run(LaneProtocol, request.getfixturevalue(url), 400, drawn_by=1).steps >= 400

"""What the tests of connections share."""

from __future__ import annotations

import pytest
import trustme


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Give an authority that only these tests trust."""
    return trustme.CA()

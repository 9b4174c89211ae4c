"""What a whole life makes of a deal by the API: the stage and status that the payload names, or a contradiction."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.clint.api import Deal
from bridge.operations.life import placed
from bridge.operations.proof import Code, Finding
from bridge.pipeline.deals import Wanted, read_payload

DEAL = Deal("d1", "o1", "s1", "", "WON")


def told(**funnel: Any) -> Wanted:
    """Return what a payload wants of a deal."""
    whole = {"key": "pay_1", "key_field": "codigo_asaas", "places": {}, **funnel}
    found = read_payload(json.dumps({"funnel": whole}))
    assert found
    return found


@pytest.mark.parametrize(
    ("funnel", "code"),
    [
        ({}, Code.SEEN),
        ({"stage": "paga", "status": "won"}, Code.SEEN),
        ({"stage": "s1"}, Code.SEEN),
        ({"stage": "Vencida", "status": "won"}, Code.OTHER_STAGE),
        ({"stage": "Paga", "status": "lost"}, Code.OTHER_STATUS),
    ],
)
def test_a_deal_must_be_where_the_payload_says(funnel: dict[str, Any], code: Code) -> None:
    """A stage by its name or id, in any case of letters; what the payload leaves out is not compared."""
    assert placed(Finding(Code.SEEN, DEAL), told(**funnel), "Paga").code == code


def test_a_webhooks_finding_and_a_deal_that_was_not_seen_stay_as_they_are() -> None:
    """There is no stage in a webhook's payload, and no deal to compare."""
    assert placed(Finding(Code.SEEN, DEAL), None, "Paga").code == Code.SEEN
    assert placed(Finding(Code.NONE), told(status="lost"), "").code == Code.NONE

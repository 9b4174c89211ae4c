"""Mappings, filtering and transform."""

from __future__ import annotations

from bridge.errors.root import BridgeError


class MappingRefused(BridgeError):
    """a mapping that is active can't run in this version of the bridge: events wait until it is mended"""

    code = "mapping.refused"


class StageError(BridgeError):
    """an event could not be turned into a payload: its delivery is dead with this reason"""

    code = "stage.failed"


class FilterFailed(StageError):
    """a condition of the filter could not be evaluated on this event"""

    code = "filter.failed"


class ExpressionFailed(StageError):
    """an expression could not be evaluated on this event"""

    code = "transform.expression"


class RequiredMissing(StageError):
    """a field with required: true has no value in this event"""

    code = "transform.required_missing"


class NoContact(StageError):
    """the payload has neither an e-mail nor a phone, so Clint could match no contact"""

    code = "transform.no_contact"

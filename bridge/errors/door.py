"""The door (what Asaas posts to us) and the journal."""

from __future__ import annotations

from bridge.errors.root import BridgeError


class UnknownAccount(BridgeError):
    """no account of that name is set up"""

    code = "webhook.unknown_account"
    http_status = 404


class WrongToken(BridgeError):
    """the asaas-access-token header is missing or wrong"""

    code = "webhook.wrong_token"
    http_status = 401


class AddressNotAllowed(BridgeError):
    """the door is closed to the address that posts"""

    code = "webhook.address_not_allowed"
    http_status = 403


class BodyTooLarge(BridgeError):
    """the body is larger than the bridge takes"""

    code = "webhook.body_too_large"
    http_status = 413


class NotAnEvent(BridgeError):
    """the body is not a JSON object with an event name"""

    code = "webhook.not_an_event"
    http_status = 400


class JournalError(BridgeError):
    """the journal could not be read or written"""

    code = "journal.unavailable"
    http_status = 503


class JournalRefused(JournalError):
    """the journal's database refused a statement: it is there, and would refuse the same again"""

    code = "journal.refused"


class JournalNotMigrated(JournalError):
    """the journal's schema is not the one this version of the bridge needs"""

    code = "journal.not_migrated"


class IllegalTransition(BridgeError):
    """a delivery can't go from its state to that one"""

    code = "journal.illegal_transition"
    http_status = 409


class Emptied(IllegalTransition):
    """retention has emptied the event: its body, the payloads and the answers are gone"""

    code = "journal.emptied"
    http_status = 410


class LeaseLost(BridgeError):
    """the lane is leased by another worker now, so nothing may be recorded under this lease"""

    code = "lane.lease_lost"

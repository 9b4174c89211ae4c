"""Encryption at rest, and what is held of a person."""

from __future__ import annotations

from bridge.errors.door import JournalError
from bridge.errors.root import BridgeError
from bridge.errors.usage import UsageError


class SealBroken(JournalError):
    """a text of the journal can't be opened with the keys of BRIDGE_ENCRYPTION_KEY"""

    code = "journal.sealed"


class KeyNeeded(UsageError):
    """this needs BRIDGE_ENCRYPTION_KEY, which is not set: secrets are kept in the journal only encrypted"""

    code = "encryption.key_needed"


class StillOwed(BridgeError):
    """something is still owed for this person, so nothing was erased"""

    code = "person.still_owed"
    http_status = 409

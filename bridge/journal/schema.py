"""The journal's tables, with the reason beside each constraint and index.

Every index serves a frequent query; partial indexes hold only rows with open work, so that they stay small however
long the history is. Times are milliseconds since the epoch, UTC. Columns of personal data and secrets are encrypted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from bridge.crypto import Keyring

_PLAIN = Keyring()
keyrings: WeakKeyDictionary[Dialect, Keyring] = WeakKeyDictionary()


def keyring_of(connection: Connection) -> Keyring:
    return keyrings.get(connection.dialect, _PLAIN)


class EncryptedText(TypeDecorator[str]):
    """A text that is encrypted where there is a key; `place` is its table and column, which encryption binds it to."""

    impl = Text
    cache_ok = True

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Encrypt a value, without NUL and surrogates, which no database accepts."""
        if value is None:
            return None
        text = value.replace("\0", "\ufffd").encode(errors="replace").decode()
        return keyrings.get(dialect, _PLAIN).encrypt(text, self.place)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else keyrings.get(dialect, _PLAIN).decrypt(value, self.place)


metadata = MetaData()

# SQLite numbers rows by itself only in an INTEGER primary key.
Id = BigInteger().with_variant(Integer, "sqlite")

# Conditions of the partial indexes, also for queries: SQLite uses a partial index only for a query with the same
# condition, word by word. None is a list of states, of which SQLite would make a table for each changed row and index.
WAITS = text("events.state = 'received'")
OPEN = text("deliveries.finished_ms IS NULL")
SENDING = text("deliveries.state = 'sending'")
DELIVERED = text("deliveries.state = 'delivered'")
DEAD = text("deliveries.state = 'dead'")
FINISHED = text("deliveries.finished_ms IS NOT NULL")
HELD = text("deliveries.waiting = 'paused'")
ON_HOLD = text("events.hold_code IS NOT NULL")
CAUSE_OPEN = text("causes.resolved_ms IS NULL")
NOTICE_OPEN = text("notices.closed_ms IS NULL")
TO_READ_BACK = text("deliveries.read_back = 'asked'")

_partial_indexes: list[Callable[[], Index]] = []


def _partial(table: Table, name: str, *columns: str, where: TextClause, unique: bool = False) -> None:
    where = text(where.text.split(".", 1)[1])  # an index names no table
    _partial_indexes.append(
        lambda: Index(name, *(table.c[c] for c in columns), unique=unique, sqlite_where=where, postgresql_where=where)
    )


def with_partial_indexes() -> MetaData:
    """Return the tables with all their indexes, to make or compare a schema.

    Partial indexes are made here only, since they import PostgreSQL's dialect, which makes each start slower.
    """
    while _partial_indexes:
        _partial_indexes.pop(0)()
    return metadata


def _columns(type_: type[TypeEngine[Any]], *names: str, nullable: bool = False) -> list[Column[Any]]:
    return [Column(name, type_, nullable=nullable) for name in names]


meta = Table("journal_meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))
"""`lanes` is the number of lanes. It never changes: a customer's next event would go to another lane.
`search_key` is the key of the hashes in `search_terms`; encryption, jobs and accounts have their own rows."""

events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True),  # the order of arrival
    *_columns(Text, "account", "event_key", "name", "entity", "object_id", "subject"),
    Column("lane", Integer, nullable=False),
    Column("created", Text, nullable=False),
    # As posted: not JSONB, which would refuse \u0000 and reorder keys.
    Column("body", EncryptedText("events.body"), nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("repeats", Integer, nullable=False, server_default="0"),  # arrivals after the first
    Column("origin", Text, nullable=False, server_default="webhook"),  # or backfill: made from the API's objects
    Column("state", Text, nullable=False),
    Column("due_ms", BigInteger, nullable=False),  # in the future while it is held
    Column("hold_code", Text),
    Column("hold_reason", EncryptedText("events.hold_reason")),
    Column("processed_ms", BigInteger),
    Column("replay", Integer, nullable=False, server_default="0"),  # replays that a person began
    Column("replay_mapping", Text),  # the only mapping of the replay; null: all
    Column("emptied_ms", BigInteger),  # retention emptied body, payloads and answers
    # Asaas delivers at least once. The whole id identifies an event of an account; accounts may share ids.
    UniqueConstraint("account", "event_key", name="events_once"),
)
_partial(events, "events_waiting", "lane", "id", where=WAITS)  # a lane's next events, in order
_partial(events, "events_due", "lane", "due_ms", where=WAITS)  # is a lane due?
# By what holds them. Pages count the customers and the oldest arrival by this index alone.
_partial(events, "events_on_hold", "hold_code", "account", "received_ms", "subject", where=ON_HOLD)
Index("events_object", events.c.object_id, events.c.id)  # all events of a charge
Index("events_subject", events.c.subject, events.c.id)  # all events of a customer
Index("events_name", events.c.name, events.c.id)  # a person's lists, newest first
Index("events_account", events.c.account, events.c.id)

revisions = Table(
    "mapping_revisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("mapping", Text, nullable=False),
    Column("text", Text),  # null: the mapping was removed
    *_columns(Text, "digest", "origin", "author"),  # origin: file, console or command
    Column("created_ms", BigInteger, nullable=False),
)
Index("mapping_revisions_newest", revisions.c.mapping, revisions.c.id)  # the newest revision is the active one

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),  # the order within a line
    Column("event_id", Id, ForeignKey("events.id"), nullable=False),
    Column("mapping", Text, nullable=False),
    Column("revision_id", Id, ForeignKey("mapping_revisions.id"), nullable=False),
    Column("replay", Integer, nullable=False),
    *_columns(Text, "account", "subject", "line"),
    Column("lane", Integer, nullable=False),
    *_columns(Text, "destination", "object_id"),
    Column("order_at", Text, nullable=False),  # Asaas's dateCreated of the event
    Column("order_rank", Integer, nullable=False),  # breaks a tie within one second; 0 where no flow is documented
    Column("skip_stale", Boolean, nullable=False),
    Column("once_key", Text),  # one delivery for each instalment plan and event
    Column("payload", EncryptedText("deliveries.payload")),  # JSON; null where nothing is sent
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # Attempts before a person's retry, which do not count.
    Column("forgiven", Integer, nullable=False, server_default="0"),
    # Only the first open delivery of a line has a due time; the next one gets its own when the first is finished.
    # So the due deliveries of a lane are one range of a small index, however long the lines are.
    Column("due_ms", BigInteger),
    Column("waiting", Text),  # model.Waiting: why the due time is in the future
    Column("reason_code", Text),
    Column("reason", EncryptedText("deliveries.reason")),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),  # null in all states but model.FINISHED
    Column("amount", BigInteger),  # cents of the event's charge, 0 where it has none; null in rows of older versions
    # A keyed hash of what the destination answered, of a dead one: those of one answer have one cause.
    Column("answer", Text),
    Column("read_back", Text),  # model.ReadBack; null for mappings without `verify`
    Column("read_back_tries", Integer, nullable=False, server_default="0"),
    Column("read_back_due_ms", BigInteger),  # null before the first one
    Column("read_back_detail", EncryptedText("deliveries.read_back_detail")),
    # A batch that is decided twice, after a crash or a lost lease, makes no second delivery.
    UniqueConstraint("event_id", "mapping", "replay", name="deliveries_once_per_mapping"),
)
_partial(deliveries, "deliveries_due", "lane", "due_ms", where=text("deliveries.due_ms IS NOT NULL"))
# The first of a line, and the next.
_partial(deliveries, "deliveries_line", "account", "subject", "line", "id", where=OPEN)
_partial(deliveries, "deliveries_sending", "lane", where=SENDING)  # of a worker that died
# The stale rule: was a newer event of this charge delivered?
_partial(deliveries, "deliveries_newest", "object_id", "line", "order_at", "order_rank", where=DELIVERED)
_partial(deliveries, "deliveries_plan", "mapping", "once_key", where=text("deliveries.once_key IS NOT NULL"))
_partial(deliveries, "deliveries_held", "destination", "id", where=HELD)  # to be resumed
_partial(deliveries, "deliveries_dead", "id", where=DEAD)  # to be fixed by a person
# By cause: a page counts the failed deliveries of all causes by this index alone.
_cause = ("reason_code", "destination", "answer", "mapping")
_of_cause = ("account", "subject", "object_id", "amount", "finished_ms", "id")
_partial(deliveries, "deliveries_cause", *_cause, *_of_cause, where=DEAD)
# A person's lists. Open deliveries have no entry, since their state still changes.
_partial(deliveries, "deliveries_state", "state", "event_id", where=FINISHED)
_partial(deliveries, "deliveries_mapping", "mapping", "state", "event_id", where=FINISHED)
_partial(deliveries, "deliveries_read_back", "finished_ms", where=TO_READ_BACK)  # due read-backs

attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("delivery_id", Id, ForeignKey("deliveries.id"), nullable=False),
    Column("number", Integer, nullable=False),
    *_columns(BigInteger, "fence", "started_ms"),  # fence: of the lease
    Column("finished_ms", BigInteger),
    Column("outcome", Text),  # null: not known yet
    Column("status", Integer),
    Column("code", Text),
    Column("detail", EncryptedText("attempts.detail")),
    Column("excerpt", EncryptedText("attempts.excerpt")),
    Column("duration_ms", Integer),
    UniqueConstraint("delivery_id", "number", name="attempts_number"),  # two workers can't both make one attempt
)

lanes = Table(
    "lanes",
    metadata,
    Column("lane", Integer, primary_key=True, autoincrement=False),
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False),  # grows with every lease: the owner of an older one writes nothing
    Column("lease_until_ms", BigInteger, nullable=False),
)

destinations = Table(
    "destinations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url_digest", Text, nullable=False),  # a new URL resumes a paused destination
    Column("state", Text, nullable=False),  # of the circuit: closed, open, half_open
    Column("failures", Integer, nullable=False),  # in a row
    Column("failed_subject", Text),  # customer of the first failure
    Column("several", Boolean, nullable=False),  # another customer failed too
    Column("opens", Integer, nullable=False),  # since the last success: lengthens the wait
    Column("until_ms", BigInteger, nullable=False),  # open: time of the probe; half open: its timeout
    Column("paused_ms", BigInteger),
    Column("paused_reason", Text),
    *_columns(Text, "origin_id", "stage_id", nullable=True),  # in Clint, of its deals
)

notices = Table(
    "notices",
    metadata,
    Column("id", Id, primary_key=True),
    *_columns(Text, "code", "about", "level", "detail", "mend"),  # about: an account, or an account and a part of it
    *_columns(BigInteger, "raised_ms", "last_ms"),
    Column("times", Integer, nullable=False),
    Column("closed_ms", BigInteger),
)
_partial(notices, "notices_open", "code", "about", where=NOTICE_OPEN, unique=True)

causes = Table(
    "causes",
    metadata,
    Column("id", Id, primary_key=True),
    # causes.Cause: what a cause is, and which one; `key` is all of it.
    *_columns(Text, "key", "kind", "code", "about"),
    *_columns(BigInteger, "since_ms", "number", "most"),  # most: the largest number so far
    Column("seen_by", Text),  # null: nobody has said so since it came or grew
    *_columns(BigInteger, "seen_ms", "seen_number", "resolved_ms", nullable=True),
)
_partial(causes, "causes_open", "key", where=CAUSE_OPEN, unique=True)
_partial(causes, "causes_resolved", "resolved_ms", where=text("causes.resolved_ms IS NOT NULL"))
"""What needs a person, from its beginning to its end; it holds no personal data."""

refusals = Table(
    "door_refusals",
    metadata,
    Column("account", Text, primary_key=True),  # empty: an unknown account
    Column("code", Text, primary_key=True),
    Column("last_ms", BigInteger, nullable=False),
    Column("times", Integer, nullable=False),
)

alert_receivers = Table(
    "alert_receivers",
    metadata,
    Column("id", Id, primary_key=True),  # 0: BRIDGE_ALERT_URLS
    Column("name", Text, nullable=False),
    Column("url", EncryptedText("alert_receivers.url")),  # of apprise; null for 0
    *_columns(Text, "areas", "accounts"),  # separated by blanks; empty: all
    Column("level", Text, nullable=False),  # the least one
    Column("summary_ms", BigInteger),  # time of the next morning summary; null: none is wanted
    *_columns(BigInteger, "created_ms", "changed_ms"),
    *_columns(BigInteger, "sent_ms", "failing_ms", nullable=True),  # last message that arrived; since when none does
    Column("problem", Text),  # of the last message that did not arrive, as a message id
    UniqueConstraint("name", name="alert_receivers_name"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("receiver", BigInteger, primary_key=True, autoincrement=False, server_default="0"),
    *(Column(name, Text, primary_key=True) for name in ("code", "about")),
    *_columns(Text, "level", "detail", "mend"),
    *_columns(BigInteger, "since_ms", "due_ms"),
    Column("times", Integer, nullable=False),
    *_columns(BigInteger, "told_ms", "over_ms", nullable=True),
    Column("failures", Integer, nullable=False),
    Column(
        "told_size", BigInteger, nullable=False, server_default="0"
    ),  # how many things the last alert spoke of; 0: not counted
)
"""What each receiver was told of each problem."""

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    *_columns(Text, "actor", "address"),  # see audit.Actor
    *_columns(Text, "action", "about"),  # such as delivery.retried; number or name of the changed thing
    Column("detail", Text, nullable=False),  # JSON
)
Index("audit_about", audit.c.about, audit.c.id)  # what was done to an event or a delivery
Index("audit_actor", audit.c.actor, audit.c.id)  # these four: the list, narrowed
Index("audit_action", audit.c.action, audit.c.id)
Index("audit_actor_action", audit.c.actor, audit.c.action, audit.c.id)
Index("audit_at", audit.c.at_ms, audit.c.id)
"""Changes that people made. Rows are never changed, and hold no personal data and no secret."""

search_terms = Table(
    "search_terms",
    metadata,
    # A keyed hash; search.Kind; an account, and the id of its charge or customer.
    *(Column(name, Text, primary_key=True) for name in ("term", "kind", "account", "ref")),
    sqlite_with_rowid=False,
)
"""Terms of charges (invoice number, ...) and customers (a word of the name, e-mail, ...)."""
Index("search_terms_ref", search_terms.c.ref)  # removed with its events

customers = Table(
    "customers",
    metadata,
    *(Column(name, Text, primary_key=True) for name in ("account", "id")),
    Column("person", EncryptedText("customers.person")),  # JSON; null: Asaas has no such customer
    Column("seen_ms", BigInteger, nullable=False),  # when Asaas said so
)
"""The people behind the events, for lists and pages: name, e-mail, phone and document of each customer."""

jobs = Table(
    "console_jobs",
    metadata,
    Column("id", Id, primary_key=True),
    *_columns(Text, "kind", "about"),  # such as reconcile; an account or a mapping
    Column("params", EncryptedText("console_jobs.params"), nullable=False),  # JSON
    Column("state", Text, nullable=False),  # running, done, failed
    Column("done", Integer, nullable=False),
    Column("total", Integer),  # null: not known yet
    Column("steps", EncryptedText("console_jobs.steps"), nullable=False),  # JSON: progress, in order
    Column("result", EncryptedText("console_jobs.result")),  # JSON
    Column("details", EncryptedText("console_jobs.details")),  # JSON: what no page shows, only a file
    Column("code", Text),  # of the error that ended it
    Column("error", EncryptedText("console_jobs.error")),
    Column("author", Text, nullable=False),
    *_columns(BigInteger, "created_ms", "beat_ms"),  # beat: last sign of life of its process
    Column("finished_ms", BigInteger),
    Column("runner", Text),  # who works on a job that another process may take over
    Column("stopped_by", Text),  # the person who asked it to stop
)
Index("console_jobs_newest", jobs.c.kind, jobs.c.id)  # the last job of a kind
"""A job belongs to the process that began it; any process shows it."""

COUNTED_BY = ("account", "mapping", "destination", "event", "verdict")

rollups = Table(
    "rollups",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, Text, primary_key=True) for name in COUNTED_BY),
    *_columns(BigInteger, "number", "latency_ms"),
)
tallies = Table(
    "tallies",
    metadata,
    Column("id", Id, primary_key=True),
    Column("hour_ms", BigInteger, nullable=False),
    *_columns(Text, *COUNTED_BY),
    *_columns(BigInteger, "number", "latency_ms"),  # number: 1, or -1 to undo a count
)

tenant_accounts = Table(
    "tenant_accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("api_key", EncryptedText("tenant_accounts.api_key"), nullable=False),  # empty: none
    Column("webhook_token", EncryptedText("tenant_accounts.webhook_token"), nullable=False),
    *_columns(BigInteger, "created_ms", "changed_ms"),
)

tenant_destinations = Table(
    "tenant_destinations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url", EncryptedText("tenant_destinations.url"), nullable=False),
    *_columns(BigInteger, "created_ms", "changed_ms"),
)
"""Accounts and destinations that a person added; the environment overrides those of the same name."""

tenant_clint = Table(
    "tenant_clint",
    metadata,
    Column("name", Text, primary_key=True),  # always DEFAULT: there is one account of Clint
    Column("token", EncryptedText("tenant_clint.token"), nullable=False),
    *_columns(BigInteger, "created_ms", "changed_ms"),
)
"""The token of Clint's API that a person added; CLINT_API_TOKEN overrides it."""


def _claimed() -> list[Column[Any]]:
    return [
        Column("creating_ms", BigInteger),  # when a create began whose outcome is not known; null: there is none
        # The delivery that works on the row, with the fence of its lane's lease, until a time; see `journal.deals`.
        *_columns(BigInteger, "claim_lane", "claim_fence", "claim_delivery", nullable=True),
        *_columns(BigInteger, "claim_until_ms", "updated_ms"),
    ]


deals = Table(
    "deals",
    metadata,
    Column("id", Id, primary_key=True),
    # The origin in which the bridge makes the deal, whichever destinations are that origin; the digest is a keyed hash.
    *_columns(Text, "origin_id", "key_digest"),
    Column("key", EncryptedText("deals.key")),  # null once its person was erased
    *_columns(Text, "account", "subject"),
    *_columns(Text, "contact_id", "deal_id", nullable=True),  # in Clint
    *_columns(Text, "stage_id", "status", nullable=True),  # as the bridge wrote them last
    # Of a create or an update whose outcome is not known.
    *_columns(Text, "wanted_stage_id", "wanted_status", nullable=True),
    Column("contact_digest", Text),  # a keyed hash of what was written to the contact last
    *_claimed(),
    UniqueConstraint("origin_id", "key_digest", name="deals_once"),
)
Index("deals_subject", deals.c.subject, deals.c.account)  # to erase a person
"""The deals of API destinations: one row for each deal key. Rows stay, so that no deal is made twice."""

contacts = Table(
    "deal_contacts",
    metadata,
    Column("key_digest", Text, primary_key=True),  # a keyed hash of an e-mail or a phone
    Column("contact_id", Text),  # in Clint
    *_claimed(),
)
Index("deal_contacts_id", contacts.c.contact_id)  # to erase a person
"""The contacts that the bridge looked for before it made a deal, so that none is made twice."""

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", EncryptedText("users.name"), nullable=False),
    Column("email", EncryptedText("users.email"), nullable=False),
    Column("email_hash", Text, nullable=False, unique=True),  # keyed, as those of search_terms
    *_columns(Text, "role", "state"),  # see users.UserRole and users.UserState
    Column("accounts", Text, nullable=False),  # JSON: the accounts they may see; an empty list: all
    Column("password", EncryptedText("users.password")),  # its hash; null: none was chosen yet
    Column("subject_hash", Text, unique=True),  # keyed: who they are at the OpenID provider, once they came from there
    Column("link_hash", Text, unique=True),  # of the link by which they choose a password; null: none is valid
    Column("link_until_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger),  # the last sign-in
)
"""People who may sign in to the console."""

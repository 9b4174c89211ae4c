"""The tables that the console alone reads: who changed what, what leads a search
to charges and customers, and long work."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from bridge.journal.schema import Id, metadata
from bridge.journal.sealed import Sealed

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),  # a role and the name that somebody gave, or the user of a command
    Column("address", Text, nullable=False),  # empty for a command
    Column("action", Text, nullable=False),  # a stable dotted name, such as delivery.retried
    Column("about", Text, nullable=False),  # the number or name of what was changed
    Column("detail", Text, nullable=False),  # JSON
)
"""What people changed. Nothing here is ever changed, and no personal data or secret goes in."""

search_terms = Table(
    "search_terms",
    metadata,
    Column("term", Text, primary_key=True),  # a keyed hash: names and documents are not to be read here
    Column("kind", Text, primary_key=True),  # object or subject
    Column("account", Text, primary_key=True),
    Column("ref", Text, primary_key=True),  # the id of the charge or of the customer
    sqlite_with_rowid=False,
)
"""What leads to a charge (its invoice number, ...) or a customer (a word of the name, the e-mail, ...)."""
Index("search_terms_ref", search_terms.c.ref)  # what is forgotten with its events

jobs = Table(
    "console_jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False),  # what is done, such as reconcile
    Column("about", Text, nullable=False),  # an account or a mapping
    Column("params", Sealed("console_jobs.params"), nullable=False),  # JSON
    Column("state", Text, nullable=False),  # running, done, failed
    Column("done", Integer, nullable=False),
    Column("total", Integer),  # null: not known yet
    Column("steps", Sealed("console_jobs.steps"), nullable=False),  # JSON: what was said on the way, in order
    Column("result", Sealed("console_jobs.result")),  # JSON
    Column("code", Text),  # of the error that ended it
    Column("error", Sealed("console_jobs.error")),
    Column("author", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("beat_ms", BigInteger, nullable=False),  # the last sign of life: its process may have ended
    Column("finished_ms", BigInteger),
)
Index("console_jobs_newest", jobs.c.kind, jobs.c.id)  # the last one of a kind, for its page
"""Long work that somebody began in the console. It belongs to the process that began it; any process shows it."""

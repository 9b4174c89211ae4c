"""What `bridge doctor` says of encryption, and of the accounts and destinations in the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bridge.errors import JournalError
from bridge.journal import Journal
from bridge.journal import tenants as kept
from bridge.runtime import Runtime
from bridge.tenants.changes import shadowed
from bridge.workbench.checks import Check, State


def tenants(open_journal: Callable[[], Journal], runtime: Runtime) -> Iterator[Check]:
    """Say whether the journal is encrypted, what it keeps, and what the environment hides of that."""
    if not runtime.settings.bridge_encryption_key:
        mend = "to switch it on, make BRIDGE_ENCRYPTION_KEY with `bridge db new-key`"
        yield Check("encryption", "off: personal data stands in the journal as it came", mend=mend)
        return
    try:
        with open_journal().database.read() as connection:
            accounts, urls = kept.accounts(connection), kept.destinations(connection)
            hidden = shadowed(connection, runtime.settings)
    except JournalError:
        return  # said with the journal
    yield Check("encryption", "on")
    names = f"accounts: {', '.join(accounts) or 'none'}; destinations: {', '.join(urls) or 'none'}"
    yield Check("in the journal", names)
    for variable in hidden:
        mend = "take the variable away, or remove what is in the journal"
        yield Check(
            f"hidden by {variable}",
            "the environment wins over what the journal keeps under that name",
            State.WARNING,
            mend,
        )

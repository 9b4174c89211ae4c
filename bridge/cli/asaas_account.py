"""Which Asaas account a command is about, and what it works with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from bridge.cli.root import Invocation
from bridge.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from bridge.mapping import Mapping
    from bridge.runtime import Runtime

account_option = click.option(
    "--account", metavar="NAME", default=DEFAULT, show_default=True, help="The Asaas account, by its name in settings."
)


@contextmanager
def opened_runtime(settings: Settings) -> Iterator[Runtime]:
    """Give the parts of this process, closed afterwards."""
    from bridge.runtime import Runtime

    runtime = Runtime(settings)
    runtime.check_urls()
    try:
        yield runtime
    finally:
        runtime.close()


def mappings_in_use(invocation: Invocation) -> tuple[Sequence[Mapping], str]:
    """Return the mappings that are active in the journal, or those of the files where it has none, and which it is."""
    from bridge.workbench import accounts

    return accounts.mappings_in_use(lambda: invocation.journal, invocation.settings.bridge_mappings_dir)

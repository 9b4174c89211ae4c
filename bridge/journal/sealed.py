"""The column type of what must not be read without a key: sealed when it is written, opened when it is read.

A statement of the driver's own (`exec_driver_sql`) goes past the type: who writes one seals by `keyring_of`.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Engine, Text
from sqlalchemy.types import TypeDecorator

from bridge.sealing import Keyring

_PLAIN = Keyring()
_keyrings: WeakKeyDictionary[Dialect, Keyring] = WeakKeyDictionary()


def use(engine: Engine, keyring: Keyring) -> None:
    """Let every sealed column of this engine use these keys."""
    _keyrings[engine.dialect] = keyring


def keyring_of(connection: Connection) -> Keyring:
    """Return the keys that a connection's sealed columns use."""
    return _keyrings.get(connection.dialect, _PLAIN)


class Sealed(TypeDecorator[str]):
    """A text that is kept sealed where there is a key; `place` is its table and column, sealed with it."""

    impl = Text
    cache_ok = True

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Seal a text on its way into the database, without NUL and half characters, which no database takes."""
        if value is None:
            return None
        text = value.replace("\0", "\ufffd").encode(errors="replace").decode()
        return _keyrings.get(dialect, _PLAIN).seal(text, self.place)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Open a text on its way out; raises SealBroken."""
        return None if value is None else _keyrings.get(dialect, _PLAIN).open(value, self.place)

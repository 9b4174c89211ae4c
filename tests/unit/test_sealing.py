"""Sealing: what is written with a key reads with that key at that place, and in no other way."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.crypto import KEY_FILE, Keyring, keep_new_key, new_key, with_kept_key
from bridge.errors import DecryptionFailed

OLD, NEW = new_key(), new_key()
PLAIN = Keyring()
RING = Keyring.from_text(NEW)


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_every_text_comes_back(text: str) -> None:
    """With a key and without, half characters and texts that look sealed included."""
    for ring in (PLAIN, RING):
        for given_text in (text, f"sealed:1:{text}", f"plain:1:{text}"):
            assert ring.decrypt(ring.encrypt(given_text, "events.body"), "events.body") == given_text


def test_a_sealed_text_shows_nothing_and_never_looks_the_same() -> None:
    """The same text twice can't be told to be the same."""
    first, second = (RING.encrypt("ana@example.com", "events.body") for _ in range(2))

    assert first != second
    assert b"ana" not in base64.b64decode(first.rsplit(":", 1)[1])


def test_old_rows_go_on_reading() -> None:
    """A plain one, and one that was sealed with a key that now stands behind the new one."""
    both = Keyring.from_text(f"{NEW},{OLD}")
    old = Keyring.from_text(OLD).encrypt("Ana", "events.body")

    assert both.decrypt("Ana", "events.body") == "Ana"
    assert both.decrypt(old, "events.body") == "Ana"
    assert not old.startswith(both.prefix)
    assert both.encrypt("Ana", "events.body").startswith(both.prefix)
    assert both.prefix == RING.prefix != ""
    assert PLAIN.prefix == ""


@pytest.mark.parametrize(("ring", "why"), [(PLAIN, "is unset"), (Keyring.from_text(OLD), "is another one")])
def test_a_missing_or_wrong_key_is_an_error_with_what_to_do(ring: Keyring, why: str) -> None:
    """Never garbage."""
    with pytest.raises(DecryptionFailed, match=why) as raised:
        ring.decrypt(RING.encrypt("Ana", "events.body"), "events.body")

    assert "BRIDGE_ENCRYPTION_KEY" in str(raised.value.hint)
    assert "Ana" not in str(raised.value)


def test_a_text_that_was_moved_or_changed_does_not_open() -> None:
    """The place is sealed with the text, and each bit counts."""
    sealed = RING.encrypt("Ana", "events.body")
    for kept, place in ((sealed, "deliveries.payload"), (sealed[:-8] + "AAAAAAA=", "events.body"), (sealed[:30], "")):
        with pytest.raises(DecryptionFailed, match="changed or cut"):
            RING.decrypt(kept, place)


def test_a_key_is_kept_for_a_new_journal_only(tmp_path: Path) -> None:
    """Once; not beside a journal that is there, and not where the environment names a key or a database."""
    environ = {"BRIDGE_DATA_DIR": str(tmp_path / "data"), "PATH": "/bin"}
    for name in ("BRIDGE_ENCRYPTION_KEY", "DATABASE_URL"):
        assert keep_new_key({**environ, name: NEW}, "journal.db") is None
    assert not (tmp_path / "data").exists()
    made = keep_new_key(environ, "journal.db")
    found = with_kept_key(environ)

    assert made == tmp_path / "data" / KEY_FILE
    assert made.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in made.parent.iterdir()] == [KEY_FILE]
    assert Keyring.from_text(found["BRIDGE_ENCRYPTION_KEY"])
    assert keep_new_key(environ, "journal.db") is None
    assert with_kept_key(environ) == found
    assert with_kept_key({**environ, "BRIDGE_ENCRYPTION_KEY": NEW})["BRIDGE_ENCRYPTION_KEY"] == NEW
    assert "BRIDGE_ENCRYPTION_KEY" not in with_kept_key({**environ, "DATABASE_URL": "postgres://x"})

    made.rename(made.with_name("journal.db"))
    assert keep_new_key(environ, "journal.db") is None
    assert with_kept_key(environ) == environ

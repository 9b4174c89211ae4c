"""Encrypts texts of the journal with the keys of BRIDGE_ENCRYPTION_KEY.

AES-256-GCM with a random nonce for each text is safe for 2**32 texts under one key (NIST SP 800-38D, 8.3). The column
(`events.body`) is authenticated with the text, which does not decrypt in another one. An encrypted text names its key
by a part of the key's hash; a text without the prefix was written without a key.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bridge import private_files
from bridge.errors import DecryptionFailed
from bridge.messages import N_

_SEALED = "sealed:1:"
_AS_IT_STANDS = "plain:1:"
"""Before a plain text that looks encrypted: a destination's answer must not pass for an encrypted text."""
_ID_LENGTH = 8
_NONCE_BYTES = 12
KEY_BYTES = 32

_HINT = N_("set BRIDGE_ENCRYPTION_KEY to the journal's key (old keys after the new one, separated by commas)")


class Keyring:
    """The keys: the first encrypts, all decrypt; without keys texts stay plain."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        if keys:  # only then, since the library is large
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        self._ciphers = {_id(key): AESGCM(key) for key in keys}
        self._first = next(iter(self._ciphers), None)
        self.prefix = f"{_SEALED}{self._first}:" if self else ""
        """The beginning of every text encrypted with the first key; empty without keys."""

    @classmethod
    def from_text(cls, text: str) -> Keyring:
        """Return the keys of the setting: 32 bytes each in base64, by commas."""
        return cls([base64.urlsafe_b64decode(part) for part in text.split(",") if part.strip()])

    def __bool__(self) -> bool:
        return self._first is not None

    def encrypt(self, text: str, column: str) -> str:
        """Return the stored form of a text."""
        if self._first is None:
            return f"{_AS_IT_STANDS}{text}" if text.startswith((_SEALED, _AS_IT_STANDS)) else text
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, text.encode(errors="surrogatepass"), column.encode())
        return self.prefix + base64.b64encode(nonce + sealed).decode()

    def decrypt(self, stored: str, column: str) -> str:
        """Return the text of a stored form; raise DecryptionFailed."""
        if not stored.startswith(_SEALED):
            return stored.removeprefix(_AS_IT_STANDS)
        key_id = stored[len(_SEALED) : len(_SEALED) + _ID_LENGTH]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            unset = N_("the journal is encrypted with key {key}, and BRIDGE_ENCRYPTION_KEY is unset")
            other = N_("the journal is encrypted with key {key}, and BRIDGE_ENCRYPTION_KEY is another one")
            raise DecryptionFailed(other if self else unset, hint=_HINT, key=key_id)
        from cryptography.exceptions import InvalidTag

        try:
            sealed = base64.b64decode(stored[len(_SEALED) + _ID_LENGTH + 1 :])
            text = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], column.encode())
        except (InvalidTag, ValueError):
            what, hint = N_("an encrypted text of {column} was changed or cut"), N_("restore the journal from a backup")
            raise DecryptionFailed(what, hint=hint, column=column) from None
        return text.decode(errors="surrogatepass")


def new_key() -> str:
    """Return a random key in the form of the setting."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def _id(key: bytes) -> str:
    return hashlib.sha256(b"bridge key id" + key).hexdigest()[:_ID_LENGTH]


KEY_FILE = "encryption.key"
"""In the data directory: the key that `bridge up` makes for a new SQLite journal of one machine."""
_KEY = "BRIDGE_ENCRYPTION_KEY"


def key_file(environ: Mapping[str, str]) -> Path | None:
    """Return the file that holds the key of this environment's journal; None where the environment decides.

    The file is of the SQLite journal beside it: another database may be shared with machines that lack the file.
    """
    if any(environ.get(name, "").strip() for name in (_KEY, "DATABASE_URL")):
        return None
    return Path(environ.get("BRIDGE_DATA_DIR", "").strip() or "./data") / KEY_FILE


def with_kept_key(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the key of the key file, where there is one."""
    file, found = key_file(environ), dict(environ)
    if file:
        with suppress(FileNotFoundError, NotADirectoryError):
            found[_KEY] = file.read_text(encoding="ascii", errors="replace").strip()
    return found


def key_to_make(environ: Mapping[str, str], journal: str) -> Path | None:
    """Return the key file of a journal that does not exist yet; None where there is a key file, or none is to be made.

    A journal that exists keeps what it has: its backups would need the key, and nobody would know.
    """
    file = key_file(environ)
    return None if file is None or file.exists() or (file.parent / journal).exists() else file


def keep_new_key(environ: Mapping[str, str], journal: str) -> Path | None:
    """Make the key file of a journal that does not exist yet; return it, None where none was made."""
    file = key_to_make(environ, journal)
    if file:
        private_files.kept_text(file, new_key)
    return file


SESSION_KEY_FILE = "session.key"
"""In the data directory: the key that signs the console's sessions where BRIDGE_SECRET_KEY is unset."""


def session_key(directory: Path) -> str:
    """Return the key that signs sessions and forms; a new one where the directory can't keep it."""
    with suppress(OSError):
        kept = private_files.kept_text(directory / SESSION_KEY_FILE, new_key)
        if len(kept) >= KEY_BYTES:
            return kept
    return new_key()

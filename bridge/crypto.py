"""Seals texts with the keys of BRIDGE_ENCRYPTION_KEY, so that who reads the database without them reads nothing.

AES-256-GCM with a random nonce for each text, which is safe for 2**32 texts under one key (NIST SP 800-38D, 8.3). The
place of a text (`events.body`) is sealed with it: moved elsewhere, it does not open. A sealed text names its key by a
part of the key's hash; a text that was written before there was a key reads as it stands.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bridge.errors import DecryptionFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


_SEALED = "sealed:1:"
_AS_IT_STANDS = "plain:1:"
"""Before a text that looks sealed and is not: an answer of a stranger must not pass for one of ours."""
_ID_LENGTH = 8
_NONCE_BYTES = 12
KEY_BYTES = 32

_MEND = "set BRIDGE_ENCRYPTION_KEY to the journal's key (old keys behind the new one, by commas)"


class Keyring:
    """The keys, of which the first seals and all open; without any, texts are kept as they stand."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self._ciphers = {_id(key): _cipher(key) for key in keys}
        self._first = next(iter(self._ciphers), None)
        self._prefix = f"{_SEALED}{self._first}:"

    @classmethod
    def from_text(cls, text: str) -> Keyring:
        """Return the keys of the setting: each 32 bytes in base64, by commas; an empty text has none."""
        return cls([base64.urlsafe_b64decode(part) for part in text.split(",") if part.strip()])

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return self._first is not None

    def encrypt(self, text: str, place: str) -> str:
        """Return what is kept of a text at that place."""
        if self._first is None:
            return f"{_AS_IT_STANDS}{text}" if text.startswith((_SEALED, _AS_IT_STANDS)) else text
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, text.encode(errors="surrogatepass"), place.encode())
        return self._prefix + base64.b64encode(nonce + sealed).decode()

    def decrypt(self, kept: str, place: str) -> str:
        """Return the text; raise DecryptionFailed where no key of ours opens it."""
        if not kept.startswith(_SEALED):
            return kept.removeprefix(_AS_IT_STANDS)
        key_id = kept[len(_SEALED) : len(_SEALED) + _ID_LENGTH]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            lacks = "is another one" if self else "is unset"
            raise DecryptionFailed(
                f"the journal is encrypted with key {key_id}, and BRIDGE_ENCRYPTION_KEY {lacks}", hint=_MEND
            )
        from cryptography.exceptions import InvalidTag

        try:
            sealed = base64.b64decode(kept[len(_SEALED) + _ID_LENGTH + 1 :])
            text = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):
            raise DecryptionFailed(
                f"an encrypted text of {place} was changed or cut", hint="restore the journal from a backup"
            ) from None
        return text.decode(errors="surrogatepass")

    def is_current(self, kept: str) -> bool:
        """Return whether the text is kept as it would be kept now."""
        return kept.startswith(self._prefix) if self else not kept.startswith(_SEALED)

    @property
    def current_prefix(self) -> str:
        """How every text begins that is sealed with the first key; empty without keys."""
        return self._prefix if self else ""


def new_key() -> str:
    """Return a key that nobody else has, as it stands in the setting."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def _id(key: bytes) -> str:
    return hashlib.sha256(b"bridge key id" + key).hexdigest()[:_ID_LENGTH]


def _cipher(key: bytes) -> AESGCM:
    # Imported only where there is a key: the library takes ten megabytes in each process.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)

"""Keys that seal what a node keeps of its swarm, and the key of the operator that seals those. AES-256-GCM."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

KEY_BYTES = 32
UNLOCK_PREFIX = "SWMKEY-1-"
NAME_BYTES = 4
NONCE_BYTES = 12
TAG_BYTES = 16
FILES_MAX = 64
"""Files whose keys are kept in memory. A log has a few at a time."""


def new_key() -> bytes:
    """Return a new key."""
    return secrets.token_bytes(KEY_BYTES)


def new_unlock_key() -> str:
    """Return an operator's key in Swarm's form. (facts: swarmkit 5.8)"""
    return UNLOCK_PREFIX + base64.b64encode(new_key()).decode().rstrip("=")


def unlock_key_of(text: str) -> bytes | None:
    """Return the bytes in the operator's key, however many they are; None for what has not its form."""
    encoded = text.removeprefix(UNLOCK_PREFIX)
    if encoded == text or "=" in encoded:
        return None
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


class DataSeal:
    """Implements adapters.raft.sealing.Seal with data keys, of which the last seals and all open.

    Each file has a key of its own, made of a data key and the file's salt, so that the chance nonces of all entries
    of a node's life need not differ, but only those of one file. What is sealed begins with which data key it was.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys` are the oldest first, at least one."""
        self._keys = {_name(key): key for key in keys}
        self._newest = _name(keys[-1])
        self._of_files: dict[tuple[bytes, bytes], bytes] = {}

    @property
    def overhead(self) -> int:
        return NAME_BYTES + NONCE_BYTES + TAG_BYTES

    def add(self, key: bytes) -> None:
        """Seal with another key from now on."""
        name = _name(key)
        self._keys = {**self._keys, name: key}
        self._newest = name

    def close(self, data: bytes, salt: bytes, place: bytes) -> bytes:
        """Return the key's name, nonce, data sealed, and its tag."""
        name = self._newest
        return name + closed(self._of_file(name, salt), data, place)

    def open(self, sealed: bytes, salt: bytes, place: bytes) -> bytes | None:
        """Return what was sealed, None if this is not it."""
        name = sealed[:NAME_BYTES]
        return opened(self._of_file(name, salt), sealed[NAME_BYTES:], place) if name in self._keys else None

    def _of_file(self, name: bytes, salt: bytes) -> bytes:
        found = self._of_files.get((name, salt))
        if found is None:
            if len(self._of_files) >= FILES_MAX:
                self._of_files.clear()
            found = self._of_files[name, salt] = hmac.digest(self._keys[name], b"file " + salt, "sha256")
        return found


def _name(key: bytes) -> bytes:
    return hmac.digest(key, b"name", "sha256")[:NAME_BYTES]


def closed(key: bytes, data: bytes, place: bytes) -> bytes:
    """Return `data` sealed with a key for a place."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 -- most commands seal nothing

    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, place)


def opened(key: bytes, sealed: bytes, place: bytes) -> bytes | None:
    """Return what was sealed with a key for a place; None if it was not, or was changed since."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except (InvalidTag, ValueError):  # ValueError: not even a nonce, or no key of a length that there is
        return None

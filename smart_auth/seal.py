"""Secrets that the server must read again, sealed with a key that is not in the store (AES-256-GCM)."""

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


class Unsealable(Exception):
    """It was sealed by another installation, for another purpose, or was changed."""


class Seal:
    """Seals bytes for a purpose; `key` are the 32 bytes of the installation's own secret."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, content: bytes, purpose: str) -> str:
        """Give the content sealed, as base64url text."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, content, purpose.encode())
        return base64.urlsafe_b64encode(sealed).decode()

    def open(self, text: str, purpose: str) -> bytes:
        """Give the content back; raises Unsealable."""
        sealed = base64.urlsafe_b64decode(text)
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode())
        except InvalidTag:
            raise Unsealable("not sealed by this installation for this purpose") from None

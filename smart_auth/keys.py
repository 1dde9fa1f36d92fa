"""The installation's signing keys: made at first start, kept in files of mode 0600, rotated (RFC 7517).

RS256 with 2048-bit RSA: OpenID Connect Core §15.1 demands it of every server, and every client and
outside resource server can verify it.
"""

import contextlib
import os
import secrets
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from smart_auth.records import now

ALGORITHM = "RS256"
_RESCAN_MS = 1_000


class UnsafeKeys(Exception):
    """A key file can be read by others, or is not a key; the sentence names the file and the remedy."""


class KeyRing:
    """The signing key in use and the public keys of all that were; `folder` is `<data>/keys`."""

    def __init__(self, folder: Path, clock: Callable[[], int] = now) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, RSAKey] = {}
        self._current = ""
        self._scanned = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._scan()
        if not self._current:
            self.rotate()

    @property
    def kid(self) -> str:
        """Give the id of the key that signs now."""
        return self._current

    @property
    def signing(self) -> RSAKey:
        """Give the private key that signs now."""
        return self._keys[self._current]

    def public(self, kid: str) -> RSAKey | None:
        """Give the key to verify with, looking for one that another process made; None if unknown."""
        found = self._keys.get(kid)
        if found is None and self._clock() - self._scanned >= _RESCAN_MS:
            self._scan()
            found = self._keys.get(kid)
        return found

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Give the public JSON Web Key Set, the newest first."""
        if self._clock() - self._scanned >= _RESCAN_MS:
            self._scan()
        newest_first = reversed(self._keys.values())
        return {"keys": [dict(key.as_dict(private=False)) for key in newest_first]}

    def rotate(self) -> str:
        """Make a new signing key and keep only the public half of the others; gives the new key's id."""
        key = RSAKey.generate_key(2048)
        kid = secrets.token_hex(8)
        older = sorted(self._folder.glob("*.pem"))
        self._write(f"{self._stamp()}.{kid}.pem", key.as_pem(private=True))
        for path in older:
            if retired := self._load(path):
                public = retired.as_dict(private=False)
                self._write(f"{path.stem}.jwk", msgspec.json.encode(public))
                path.unlink(missing_ok=True)
        self._scan()
        return kid

    def secret(self, name: str) -> bytes:
        """Give 32 random bytes that stay the same for this installation: for forms, cursors, links."""
        path = self._folder / f"{name}.secret"
        if not path.exists():
            self._write(path.name, secrets.token_bytes(32))
        _refuse_exposed(path)
        return path.read_bytes()

    def _stamp(self) -> str:
        """Give a name part that sorts after every key there is, even if the clock went back."""
        newest = max((int(path.name.split(".")[0]) for path in self._files()), default=0)
        return f"{max(self._clock(), newest + 1):015d}"

    def _files(self) -> list[Path]:
        return sorted([*self._folder.glob("*.jwk"), *self._folder.glob("*.pem")])

    def _scan(self) -> None:
        """Read what is new in the folder; the newest private key becomes the one that signs."""
        with self._lock:
            keys: dict[str, RSAKey] = {}
            current = ""
            for path in self._files():
                kid = path.name.split(".")[1]
                key = self._keys.get(kid) or self._load(path)
                if key is None:
                    continue
                keys[kid] = key
                current = kid if path.suffix == ".pem" else current
            self._keys, self._current, self._scanned = keys, current, self._clock()

    def _load(self, path: Path) -> RSAKey | None:
        """Read a key; None if another process has just rotated it away."""
        kid = path.name.split(".")[1]
        try:
            _refuse_exposed(path)
            data = path.read_bytes()
            return RSAKey.import_key(
                data if path.suffix == ".pem" else msgspec.json.decode(data),
                {"kid": kid, "use": "sig", "alg": ALGORITHM},
            )
        except FileNotFoundError:
            return None
        except (JoseError, ValueError):
            raise UnsafeKeys(f"{path.name} in the keys folder is not an RSA key") from None

    def _write(self, name: str, data: bytes) -> None:
        """Write a new file whole, for the owner alone, durable on return; one that is there stays."""
        draft = self._folder / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            (self._folder / name).hardlink_to(draft)
        draft.unlink()
        directory = os.open(self._folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


def _refuse_exposed(path: Path) -> None:
    """Refuse a private file that the group or others may read; raises UnsafeKeys."""
    exposed = stat.S_IMODE(path.stat().st_mode) & 0o077
    if exposed and path.suffix != ".jwk":
        raise UnsafeKeys(f"{path.name} in the keys folder is open to others: chmod 600 it")

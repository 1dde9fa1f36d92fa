"""The installation's signing keys: made at first start, kept in files of mode 0600, rotated (RFC 7517).

ID tokens are signed with RS256 and 2048-bit RSA: OpenID Connect Core §15.1 demands it of every server.
Access tokens, which are issued more often, with ES256 and P-256, which costs a tenth of it.
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
from joserfc.jwk import ECKey, RSAKey

from fhir_server.durable import sync_folder
from smart_auth.records import now

ALGORITHM = "RS256"
"""What signs ID tokens."""
ACCESS_ALGORITHM = "ES256"
"""What signs access tokens."""
SigningKey = RSAKey | ECKey
_RESCAN_MS = 1_000
_KEPT_MS = 400 * 24 * 3_600 * 1_000


class UnsafeKeys(Exception):
    """A key file can be read by others, or is not a key; the sentence names the file and the remedy."""


class KeyRing:
    """The signing key in use and the public keys of all that were; `folder` is `<data>/keys`.

    `access` is the ring of the keys that sign access tokens, in the same folder.
    """

    def __init__(
        self, folder: Path, clock: Callable[[], int] = now, algorithm: str = ALGORITHM
    ) -> None:
        self._folder = folder
        self._clock = clock
        self.algorithm = algorithm
        self._mark = "" if algorithm == ALGORITHM else "ec."
        self._lock = threading.Lock()
        self._keys: dict[str, SigningKey] = {}
        self._current = ""
        self._scanned = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._scan()
        if not self._current:
            self._renew()
        self.access = self if self._mark else KeyRing(folder, clock, ACCESS_ALGORITHM)

    @property
    def kid(self) -> str:
        """Give the id of the key that signs now, noticing within a second one that was made elsewhere."""
        if self._clock() - self._scanned >= _RESCAN_MS:
            self._scan()
        return self._current

    @property
    def signing(self) -> SigningKey:
        """Give the private key that signs now."""
        return self._keys[self._current]

    @property
    def ages(self) -> dict[str, int]:
        """Give when each key was made (ms since 1970 UTC) by key id, of each algorithm the newest last."""
        own = {path.name.split(".")[1]: _made(path) for path in self._files()}
        return own if self.access is self else own | self.access.ages

    def rotate_older(self, longest_ms: int) -> str | None:
        """Rotate where the signing key is older than this, and drop public keys that no token needs.

        Gives the new key's id, None where the key is young enough. A key that was retired is kept as long
        as the longest token lives.
        """
        for path in self._folder.glob("*.jwk"):
            if self._clock() - path.stat().st_mtime_ns // 1_000_000 > _KEPT_MS:
                path.unlink(missing_ok=True)
        made = self.ages.get(self.kid, 0)
        return self.rotate() if self._clock() - made >= longest_ms else None

    def public(self, kid: str) -> SigningKey | None:
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
        found = [dict(key.as_dict(private=False)) for key in reversed(self._keys.values())]
        return {"keys": found if self.access is self else found + self.access.jwks()["keys"]}

    def rotate(self) -> str:
        """Make new signing keys and keep only the public half of the others.

        Gives the id of the new key of this ring; that of access tokens is renewed with it.
        """
        if self.access is not self:
            self.access.rotate()
        return self._renew()

    def _renew(self) -> str:
        kid = secrets.token_hex(8)
        key: SigningKey = ECKey.generate_key("P-256") if self._mark else RSAKey.generate_key(2048)
        older = [path for path in self._files() if path.suffix == ".pem"]
        self._write(f"{self._stamp()}.{kid}.{self._mark}pem", key.as_pem(private=True))
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
        newest = max((_made(path) for path in self._files()), default=0)
        return f"{max(self._clock(), newest + 1):015d}"

    def _files(self) -> list[Path]:
        found = [*self._folder.glob("*.jwk"), *self._folder.glob("*.pem")]
        return sorted(path for path in found if (".ec." in path.name) == bool(self._mark))

    def _scan(self) -> None:
        """Read what is new in the folder; the newest private key becomes the one that signs."""
        with self._lock:
            keys: dict[str, SigningKey] = {}
            current = ""
            for path in self._files():
                kid = path.name.split(".")[1]
                key = self._keys.get(kid) or self._load(path)
                if key is None:
                    continue
                keys[kid] = key
                current = kid if path.suffix == ".pem" else current
            self._keys, self._current, self._scanned = keys, current, self._clock()

    def _load(self, path: Path) -> SigningKey | None:
        """Read a key; None if another process has just rotated it away."""
        kid = path.name.split(".")[1]
        try:
            _refuse_exposed(path)
            data = path.read_bytes()
            value = data if path.suffix == ".pem" else msgspec.json.decode(data)
            kind = ECKey if self._mark else RSAKey
            return kind.import_key(value, {"kid": kid, "use": "sig", "alg": self.algorithm})
        except FileNotFoundError:
            return None
        except (JoseError, ValueError):
            raise UnsafeKeys(
                f"{path.name} in the keys folder is not a key of {self.algorithm}"
            ) from None

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
        sync_folder(self._folder)


def _made(path: Path) -> int:
    """Give when a key was made, ms since 1970 UTC, from its file's name."""
    return int(path.name.split(".")[0])


def _refuse_exposed(path: Path) -> None:
    """Refuse a private file that the group or others may read; raises UnsafeKeys."""
    exposed = stat.S_IMODE(path.stat().st_mode) & 0o077
    if exposed and path.suffix != ".jwk":
        raise UnsafeKeys(f"{path.name} in the keys folder is open to others: chmod 600 it")

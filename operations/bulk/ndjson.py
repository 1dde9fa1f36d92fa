"""NDJSON files that are whole or not there (https://github.com/ndjson/ndjson-spec); all of it blocks."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO

from fhir_server.durable import sync_folder

_ID = re.compile(rb'\{"resourceType":"[A-Za-z]+","id":"([A-Za-z0-9.-]+)"')


class Ndjson:
    """A file in the making: it has its name once it is sealed, and is durable then."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._part = file.with_suffix(".part")
        self._stream: IO[bytes] = self._part.open("wb")
        self.count = 0

    def append(self, bodies: Sequence[bytes]) -> None:
        """Add resources, each as the store serialised it, which is one line."""
        self._stream.write(b"".join(body + b"\n" for body in bodies))
        self.count += len(bodies)

    def ids(self, wanted: Collection[str]) -> set[str]:
        """Give those of the ids whose resources were added."""
        self._stream.flush()
        found = set()
        with self._part.open("rb") as lines:
            for line in lines:
                match = _ID.match(line)
                if match is not None and (id_ := match[1].decode()) in wanted:
                    found.add(id_)
        return found

    def seal(self) -> None:
        """Write it durably and give it its name; a file without resources is removed instead."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.close()
        if self.count:
            self._part.replace(self._file)
            sync_folder(self._file.parent)
        else:
            self._part.unlink()

    def close(self) -> None:
        """Close it, whether it is whole or not."""
        self._stream.close()

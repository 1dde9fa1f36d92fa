"""The form of a journal file: lines that each carry a keyed hash of themselves and of all lines before.

`<64 hexadecimal digits> <JSON>`: BLAKE2b (RFC 7693) with the installation's secret as its key, over the
hash before and the JSON. So a line that is changed, removed, moved or put in breaks every line after it,
and whoever has not got the key cannot mend them.
"""

import hashlib
from collections.abc import Iterator

from msgspec import Struct

SUFFIX = ".journal"
START = bytes(32)
_DIGITS = 64


class Broken(Exception):
    """A line does not follow from the ones before; carries its number, from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} does not follow from the lines before it")
        self.line = line


class Place(Struct, frozen=True):
    """A place between two lines of a file: bytes and lines before it, and the hash of the last of them."""

    offset: int = 0
    lines: int = 0
    digest: bytes = START


def linked(key: bytes, before: bytes, content: bytes) -> bytes:
    """Give the hash of a line that comes after the line with the hash `before`."""
    return hashlib.blake2b(before + content, key=key, digest_size=32).digest()


def line(digest: bytes, content: bytes) -> bytes:
    """Give a line as it is written."""
    return b"%b %b\n" % (digest.hex().encode(), content)


def lines(key: bytes, data: bytes, place: Place) -> Iterator[tuple[Place, bytes]]:
    """Give the JSON of each whole line of the bytes that stand at a place, with the place after it.

    A last line without its end is left for later. Raises Broken.
    """
    begin, number, digest, offset = 0, place.lines, place.digest, place.offset
    while (end := data.find(b"\n", begin)) >= 0:
        number += 1
        content = data[begin + _DIGITS + 1 : end]
        digest = linked(key, digest, content)
        if data[begin : begin + _DIGITS] != digest.hex().encode():
            raise Broken(number)
        begin = end + 1
        yield Place(offset + begin, number, digest), content

"""gzip unpacked as it comes, never to more than a limit, however well it was packed (RFC 1952)."""

import zlib
from collections.abc import Iterator

from resources.outcome import Invalid, TooLarge

_TAKEN = 1 << 16
_PIECE = 1 << 18
_MEMBERS = 10_000
_GZIP = 31


class Unpacking:
    """A body on its way; it may have several members (RFC 1952 2.2), whose contents follow one another."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._members = 1
        self._unpacker = zlib.decompressobj(wbits=_GZIP)

    def pieces(self, packed: bytes | memoryview) -> Iterator[bytes]:
        """Give what the next part of a body holds; raises TooLarge over the limit, Invalid for no gzip."""
        for at in range(0, len(packed), _TAKEN):
            yield from self._part(packed[at : at + _TAKEN])

    def end(self) -> None:
        """Raise Invalid where the body ended before its last member did."""
        if not self._unpacker.eof:
            raise Invalid("The gzip body is cut short", issue="incomplete")

    def _part(self, left: bytes | memoryview) -> Iterator[bytes]:
        while left:
            if self._unpacker.eof:
                self._begin_member()
            try:
                piece = self._unpacker.decompress(left, _PIECE)
            except zlib.error:
                raise Invalid("The body is not gzip, as Content-Encoding says") from None
            self._size += len(piece)
            if self._size > self._limit:
                raise TooLarge(f"A body may have {self._limit} bytes once it is unpacked")
            yield piece
            done = self._unpacker.eof
            left = self._unpacker.unused_data if done else self._unpacker.unconsumed_tail

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > _MEMBERS:
            raise TooLarge(f"A gzip body may have {_MEMBERS} members")
        self._unpacker = zlib.decompressobj(wbits=_GZIP)

"""A large Binary through a real server: what is in its memory meanwhile, parts, clients that go away.

RFC 9110 14 (ranges); https://hl7.org/fhir/R4/binary.html#rest
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import stored
from served import Served

MIB = 1 << 20
FHIR = {"Accept": "application/fhir+json"}
VIDEO = {"Accept": "video/mp4"}
ROOM = 40 * MIB
"""What a server may take more than it had, whatever the size of the content: pieces, and its own affairs."""


def block(number: int) -> bytes:
    """Give a MiB that no other number gives."""
    return hashlib.sha256(b"%d" % number).digest() * (MIB // 32)


class Video:
    """A content of so many MiB and some bytes, made as it is sent."""

    def __init__(self, mib: int) -> None:
        self.mib = mib
        self.end = b"the end"
        self.size = mib * MIB + len(self.end)
        self.sha256 = hashlib.sha256(b"".join(map(block, range(mib))) + self.end).hexdigest()

    def pieces(self) -> Iterator[bytes]:
        yield from map(block, range(self.mib))
        yield self.end

    def part(self, first: int, last: int) -> bytes:
        """Give bytes within two neighbouring MiB."""
        number = first // MIB
        two = b"".join(block(n) if n < self.mib else self.end for n in (number, number + 1))
        return two[first - number * MIB : last + 1 - number * MIB]


class Memory:
    """The most resident memory of a server since it was last asked to forget."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def forget(self) -> int:
        """Begin anew, and give what it has now, in bytes."""
        (self._folder / "clear_refs").write_text("5")
        return self.most()

    def most(self) -> int:
        """Give the most that it had at once, in bytes."""
        found = re.search(r"VmHWM:\s+(\d+) kB", (self._folder / "status").read_text())
        return int(found[1]) * 1024


@pytest.fixture(scope="module")
def video(size: Callable[[int, int], int]) -> Video:
    return Video(size(64, 500))


@pytest.fixture(scope="module", params=["sqlite", "mongo"])
def server(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("binary")
    more, url = ["--max-body-bytes", "600MiB"], ""
    if request.param == "mongo":
        url = stored.named(request.getfixturevalue("mongo_url"))
        more += ["--store", url]
    made = Served(folder / "data", *more)
    yield made
    assert made.stop() == 0
    if url:
        asyncio.run(stored.drop(url))


@pytest.fixture(scope="module")
def memory(server: Served) -> Memory:
    return Memory(server.process.pid)


@pytest.fixture(scope="module")
def sent(server: Served, video: Video, memory: Memory) -> tuple[int, str]:
    """Send the video; gives how much the server's memory grew, and the hash of what it answered."""
    with httpx.Client(timeout=120) as client:
        client.put(f"{server.base}/Binary/small", content=b"x", headers={"Content-Type": "a/b"})
        before = memory.forget()
        place, kind = f"{server.base}/Binary/video", {"Content-Type": "video/mp4", **FHIR}
        with client.stream("PUT", place, content=video.pieces(), headers=kind) as answer:
            assert answer.status_code == 201
            told = resource_sha256(answer)
    return memory.most() - before, told


def resource_sha256(answer: httpx.Response) -> str:
    """Give the hash of a Binary's content, from its JSON as it comes."""
    digest, rest, begun = hashlib.sha256(), b"", False
    for piece in answer.iter_bytes():
        rest += piece
        if not begun and b'"data":"' in rest:
            head, _, rest = rest.partition(b'"data":"')
            assert b'"contentType":"video/mp4"' in head
            begun = True
        if begun:
            text, quote, after = rest.partition(b'"')
            cut = len(text) if quote else len(text) // 4 * 4
            digest.update(base64.b64decode(text[:cut], validate=True))
            rest = text[cut:] + quote + after
    assert rest == b'"}'
    return digest.hexdigest()


@pytest.fixture
def client(server: Served, sent: object) -> Iterator[httpx.Client]:
    del sent
    with httpx.Client(base_url=server.base, timeout=120, headers=VIDEO) as made:
        yield made


def test_a_large_content_is_stored_and_told_in_pieces(
    sent: tuple[int, str], video: Video, record_property: Any
) -> None:
    grown, told = sent
    assert told == video.sha256
    assert grown < ROOM
    record_property(
        "proof", f"PUT of a Binary of {video.mib} MiB: {grown / MIB:.0f} MiB more memory"
    )


def test_a_large_content_is_given_in_pieces(
    client: httpx.Client, video: Video, memory: Memory, record_property: Any
) -> None:
    before, digest = memory.forget(), hashlib.sha256()
    with client.stream("GET", "/Binary/video", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-type"] == "video/mp4"
        assert answer.headers["content-length"] == str(video.size)
        assert answer.headers["accept-ranges"] == "bytes"
        assert "content-encoding" not in answer.headers
        for piece in answer.iter_raw():
            digest.update(piece)
    assert digest.hexdigest() == video.sha256
    grown = memory.most() - before
    assert grown < ROOM
    record_property(
        "proof", f"GET of a Binary of {video.mib} MiB: {grown / MIB:.0f} MiB more memory"
    )


def test_its_resource_is_given_in_pieces_too(
    client: httpx.Client, video: Video, memory: Memory
) -> None:
    before = memory.forget()
    with client.stream("GET", "/Binary/video/_history/1", headers=FHIR) as answer:
        assert resource_sha256(answer) == video.sha256
    assert memory.most() - before < ROOM


def test_its_head_and_what_the_caller_has_already_send_nothing(
    client: httpx.Client, video: Video
) -> None:
    head = client.head("/Binary/video")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(video.size)
    same = client.get("/Binary/video", headers={"If-None-Match": head.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


def test_parts_are_given_and_what_lies_beyond_is_416(client: httpx.Client, video: Video) -> None:
    end = video.size - 1
    for asked, first, last in (
        ("bytes=0-0", 0, 0),
        (f"bytes={MIB - 3}-{MIB + 4}", MIB - 3, MIB + 4),
        (f"bytes={end - 9}-", end - 9, end),
        ("bytes=-20", end - 19, end),
        (f"bytes={end}-{end + 1000}", end, end),
    ):
        part = client.get("/Binary/video", headers={"Range": asked})
        assert part.status_code == 206, asked
        assert part.content == video.part(first, last), asked
        assert part.headers["content-range"] == f"bytes {first}-{last}/{video.size}"
        assert part.headers["etag"] == 'W/"1"'
    beyond = client.get("/Binary/video", headers={"Range": f"bytes={video.size}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{video.size}"
    assert beyond.json()["resourceType"] == "OperationOutcome"


def test_a_client_that_goes_away_ends_the_reading(
    server: Served, client: httpx.Client, memory: Memory
) -> None:
    before = memory.forget()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            gone.sendall(b"GET /fhir/Binary/video HTTP/1.1\r\nHost: x\r\nAccept: video/mp4\r\n\r\n")
            assert gone.recv(1000).startswith(b"HTTP/1.1 200")
    # a file that is still read would stay open
    content = f"{server.data}/blobs/default/"
    until = time.monotonic() + 20
    while any(content in target for target in opened(server)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [target for target in opened(server) if content in target]
    assert memory.most() - before < ROOM
    assert client.get("/Binary/small").status_code == 200


def opened(server: Served) -> list[str]:
    """Give what the server has open."""
    found = []
    for descriptor in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found

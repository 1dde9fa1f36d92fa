"""The multipart reader and writer."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomweb_bridge import multipart
from dicomweb_bridge.multipart import Malformed


async def _chunks(data, sizes):
    place = 0
    for size in sizes:
        yield data[place : place + size]
        place += size
    yield data[place:]


async def _read(data, boundary="B", sizes=()):
    return [
        (part.headers, b"".join([chunk async for chunk in part]))
        async for part in multipart.parts(_chunks(data, sizes), boundary)
    ]


def _encoded(contents, boundary="B"):
    parts = [
        b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (boundary.encode(), c)
        for c in contents
    ]
    return b"".join(parts) + b"--%b--\r\n" % boundary.encode()


@given(
    contents=st.lists(
        st.binary(max_size=200).filter(lambda c: b"\r\n--B" not in b"\r\n" + c), max_size=4
    ),
    seed=st.integers(),
)
def test_any_contents_in_any_chunking_come_back_equal(contents, seed):
    data = _encoded(contents)
    chance = random.Random(seed)
    sizes = [chance.randint(0, 7) for _ in range(len(data))]
    found = asyncio.run(_read(data, sizes=sizes))
    assert [content for _, content in found] == contents
    assert all(headers == {"content-type": "application/dicom"} for headers, _ in found)


def _outcome(data, sizes):
    try:
        return asyncio.run(_read(data, sizes=sizes))
    except Malformed:
        return Malformed


PIECES = st.sampled_from([b"--B", b"--B\r\n", b"--B--", b"\r\n", b"a: b", b":", b"\r\n\r\n"])


@given(
    st.lists(PIECES | st.binary(max_size=40), max_size=12).map(b"".join),
    st.lists(st.integers(0, 9), max_size=40),
)
def test_arbitrary_bytes_are_read_or_refused_alike_in_any_chunking(data, sizes):
    assert _outcome(data, sizes) == _outcome(data, ())


@given(st.data())
def test_a_body_cut_anywhere_before_its_closing_boundary_is_malformed(data):
    whole = _encoded([b"first", b"second"])
    cut = data.draw(st.integers(0, len(whole) - len(b"--\r\n") - 1))
    with pytest.raises(Malformed):
        asyncio.run(_read(whole[:cut]))


async def test_a_body_without_parts_gives_none():
    assert await _read(b"--B--") == []


async def test_content_that_holds_something_like_the_boundary_is_kept():
    content = b"\r\n--" + b"\r\n-" + b"--B" + b"\r\n"
    assert [found for _, found in await _read(_encoded([content]))] == [content]


async def test_a_part_that_is_not_read_is_skipped():
    data = _encoded([b"first" * 1000, b"second"])
    headers = [part.headers async for part in multipart.parts(_chunks(data, [3] * 50), "B")]
    assert len(headers) == 2


async def test_a_part_without_headers_has_none():
    assert await _read(b"--B\r\n\r\ncontent\r\n--B--") == [({}, b"content")]


async def test_a_preamble_without_a_boundary_is_refused_before_it_fills_the_memory():
    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += 1024
            yield b"x" * 1024

    with pytest.raises(Malformed):
        async for _ in multipart.parts(endless(), "B"):
            pass
    assert taken < 1024 * 1024


async def test_endless_headers_are_refused():
    async def endless():
        yield b"--B\r\n"
        while True:
            yield b"a: b\r\n" * 100

    with pytest.raises(Malformed):
        async for _ in multipart.parts(endless(), "B"):
            pass


@pytest.mark.parametrize("boundary", ["", "x" * 71, "\u00e9"])
async def test_a_boundary_that_none_may_be_is_refused(boundary):
    with pytest.raises(Malformed):
        await _read(b"--B--", boundary)


async def test_what_is_written_is_read():
    async def items():
        for content in (b"one", b"", b"three"):
            yield {"Content-Type": "image/jpeg"}, _chunks(content, [1])

    boundary = multipart.new_boundary()
    data = b"".join([chunk async for chunk in multipart.written(boundary, items())])
    assert await _read(data, boundary) == [
        ({"content-type": "image/jpeg"}, content) for content in (b"one", b"", b"three")
    ]


def test_media_types_are_parsed_with_quoted_parameters():
    found = multipart.media_type('Multipart/Related; TYPE="application/dicom"; boundary="a;b\\"c"')
    assert found.name == "multipart/related"
    assert found.parameters == {"type": "application/dicom", "boundary": 'a;b"c'}


def test_a_list_is_split_outside_of_quotes():
    assert multipart.split_list('a; b="1,2", c') == ['a; b="1,2"', "c"]

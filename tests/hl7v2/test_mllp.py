"""Frames are cut from a stream however it is fragmented, and garbage never becomes a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.hl7v2.mllp import Frames, FrameTooLong, frame

ONE, TWO = b"MSH|one\r", b"MSH|two\r"


def cut(*pieces, limit=1000):
    frames = Frames(limit)
    return [found for piece in pieces for found in frames.feed(piece)], frames


def test_a_frame_in_one_piece():
    assert cut(frame(ONE))[0] == [ONE]


def test_several_frames_in_one_packet():
    assert cut(frame(ONE) + frame(TWO))[0] == [ONE, TWO]


def test_garbage_between_frames_is_skipped_and_counted():
    found, frames = cut(b"xx" + frame(ONE) + b"yyy\r\n" + frame(TWO))
    assert found == [ONE, TWO]
    assert frames.skipped == 5


def test_a_message_that_did_not_end_is_dropped_when_the_next_begins():
    found, frames = cut(b"\x0bMSH|lost", b"\r" + frame(TWO))
    assert found == [TWO]
    assert frames.skipped == len(b"MSH|lost\r")


def test_an_open_frame_is_no_message():
    found, frames = cut(b"\x0bMSH|open\r")
    assert found == []
    assert frames.open


def test_the_cr_after_fs_may_be_missing():
    assert cut(b"\x0b" + ONE + b"\x1c\x0b" + TWO + b"\x1c")[0] == [ONE, TWO]


def test_a_frame_over_the_limit_is_refused_with_its_beginning():
    frames = Frames(10)
    assert frames.feed(b"\x0b1234567890") == []
    with pytest.raises(FrameTooLong) as fault:
        frames.feed(b"1")
    assert fault.value.head == b"12345678901"
    with pytest.raises(FrameTooLong):
        Frames(10).feed(frame(b"x" * 11))


_BODY = st.binary(max_size=30).map(lambda raw: raw.replace(b"\x0b", b"").replace(b"\x1c", b""))


@given(st.lists(_BODY, max_size=5), st.lists(st.integers(1, 9), min_size=1))
def test_fragmentation_changes_nothing(bodies, sizes):
    stream = b"".join(frame(body) for body in bodies)
    pieces, at = [], 0
    while at < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[at : at + size])
        at += size
    assert cut(*pieces)[0] == bodies


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_give_messages_without_framing_characters(pieces):
    found, _ = cut(*pieces)
    assert all(b"\x0b" not in body and b"\x1c" not in body for body in found)

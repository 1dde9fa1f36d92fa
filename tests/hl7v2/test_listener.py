"""The MLLP server over real sockets: order, fragments, limits, drain, lost connections; and its client."""

import asyncio

import pytest
from v2 import segment, text

from fhir_server.hl7v2 import mllp
from fhir_server.hl7v2.listener import Limits, Listener
from fhir_server.hl7v2.mllp import NoAcknowledgement, frame

HOST = "127.0.0.1"


def message(control_id="1"):
    return text(segment("MSH", f3="A", f9="ADT^A04", f10=control_id, f12="2.5"))


def ack(raw):
    control_id = raw.split(b"|")[9].decode()
    return text(segment("MSH", f9="ACK", f10="x", f12="2.5"), f"MSA|AA|{control_id}")


async def echo(raw, peer):
    assert peer.host == HOST
    return ack(raw)


class Running:
    """A listener that is stopped at the end of a block."""

    def __init__(self, receive=echo, **limits):
        self.listener = Listener(HOST, 0, receive, limits=Limits(**limits))

    async def __aenter__(self):
        await self.listener.start()
        return self.listener

    async def __aexit__(self, *_):
        await self.listener.stop()


async def connect(listener):
    return await asyncio.open_connection(HOST, listener.port)


async def frames(reader, count):
    cutter, found = mllp.Frames(1 << 20), []
    async with asyncio.timeout(10):
        while len(found) < count:
            data = await reader.read(4096)
            assert data
            found += cutter.feed(data)
    return found


async def ended(reader):
    async with asyncio.timeout(10):
        return await reader.read()


async def test_a_message_is_answered_and_the_client_gives_the_ack():
    async with Running() as listener:
        assert await mllp.send(HOST, listener.port, message("42")) == ack(message("42"))


async def test_the_client_sends_lines_ended_by_lf_as_segments_ended_by_cr():
    seen = []

    async def receive(raw, _):
        seen.append(raw)
        return ack(raw)

    async with Running(receive) as listener:
        await mllp.send(HOST, listener.port, b"\xef\xbb\xbf" + message().replace(b"\r", b"\n"))
    assert seen == [message()]


async def test_messages_of_one_connection_are_answered_in_order():
    order = []

    async def receive(raw, _):
        order.append(raw.split(b"|")[9])
        await asyncio.sleep(0)
        order.append(raw.split(b"|")[9])
        return ack(raw)

    async with Running(receive) as listener:
        reader, writer = await connect(listener)
        writer.write(frame(message("1")) + b"garbage" + frame(message("2")) + frame(message("3")))
        answers = await frames(reader, 3)
        writer.close()
    assert answers == [ack(message(n)) for n in "123"]
    assert order == [b"1", b"1", b"2", b"2", b"3", b"3"]


async def test_a_message_in_single_bytes_is_one_message():
    async with Running() as listener:
        reader, writer = await connect(listener)
        for byte in frame(message("7")):
            writer.write(bytes((byte,)))
            await writer.drain()
        assert await frames(reader, 1) == [ack(message("7"))]
        writer.close()


async def test_many_connections_are_served_at_once():
    gate = asyncio.Event()
    waiting = 0

    async def receive(raw, _):
        nonlocal waiting
        waiting += 1
        if waiting == 20:
            gate.set()
        await gate.wait()
        return ack(raw)

    async with Running(receive) as listener, asyncio.timeout(20):
        sent = [mllp.send(HOST, listener.port, message(str(n))) for n in range(20)]
        assert await asyncio.gather(*sent) == [ack(message(str(n))) for n in range(20)]


async def test_connections_over_the_limit_are_closed():
    async with Running(connections=1) as listener:
        reader, writer = await connect(listener)
        writer.write(frame(message()))
        await frames(reader, 1)
        second, other = await connect(listener)
        assert await ended(second) == b""
        other.close()
        writer.close()


async def test_a_message_over_the_limit_is_rejected_and_the_connection_closed():
    async with Running(message=500) as listener:
        reader, writer = await connect(listener)
        writer.write(b"\x0b" + message("9") + b"PID|" + b"x" * 1000)
        answer = await ended(reader)
        assert b"MSA|AR|9" in answer
        assert b"104^Value too long" in answer
        writer.close()


async def test_a_message_that_does_not_end_in_time_is_dropped_with_its_connection():
    seen = []

    async def receive(raw, _):
        seen.append(raw)
        return ack(raw)

    async with Running(receive, frame=0.05) as listener:
        reader, writer = await connect(listener)
        writer.write(b"\x0b" + message())
        assert await ended(reader) == b""
        writer.close()
    assert seen == []


async def test_an_idle_connection_is_closed():
    async with Running(idle=0.05) as listener:
        reader, writer = await connect(listener)
        assert await ended(reader) == b""
        writer.close()


async def test_a_connection_lost_in_the_middle_of_a_message_takes_nothing():
    seen = []

    async def receive(raw, _):
        seen.append(raw)
        return ack(raw)

    async with Running(receive) as listener:
        reader, writer = await connect(listener)
        writer.write(b"\x0b" + message()[:20])
        writer.write_eof()
        assert await ended(reader) == b""
        writer.close()
    assert seen == []


async def test_a_connection_lost_while_a_message_is_done_does_not_stop_it():
    began, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    seen = []

    async def receive(raw, _):
        began.set()
        await go.wait()
        seen.append(raw)
        done.set()
        return ack(raw)

    async with Running(receive) as listener, asyncio.timeout(10):
        _, writer = await connect(listener)
        writer.write(frame(message()))
        await began.wait()
        writer.transport.abort()
        go.set()
        await done.wait()
    assert seen == [message()]


async def test_stopping_lets_the_message_that_is_done_be_answered_and_no_further_one_begin():
    began, go = asyncio.Event(), asyncio.Event()
    seen = []

    async def receive(raw, _):
        seen.append(raw)
        began.set()
        await go.wait()
        return ack(raw)

    listener = Listener(HOST, 0, receive)
    await listener.start()
    reader, writer = await connect(listener)
    writer.write(frame(message("1")) + frame(message("2")))
    await began.wait()
    stopping = asyncio.create_task(listener.stop())
    await asyncio.sleep(0)
    go.set()
    answer = await ended(reader)
    await stopping
    assert answer == frame(ack(message("1")))
    assert len(seen) == 1
    writer.close()


async def test_stopping_does_not_wait_longer_than_it_is_told():
    began = asyncio.Event()

    async def receive(raw, _):
        began.set()
        await asyncio.Event().wait()
        return raw

    listener = Listener(HOST, 0, receive)
    await listener.start()
    reader, writer = await connect(listener)
    writer.write(frame(message()))
    await began.wait()
    await listener.stop(drain=0.01)
    assert await ended(reader) == b""
    assert listener.connections == 0
    writer.close()


async def test_run_listens_until_it_is_cancelled():
    listener = Listener(HOST, 0, echo)
    running = asyncio.create_task(listener.run())
    async with asyncio.timeout(10):
        await listener.started.wait()
    assert await mllp.send(HOST, listener.port, message("3")) == ack(message("3"))
    port = listener.port
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(NoAcknowledgement):
        await mllp.send(HOST, port, message("4"))


async def test_no_answer_is_sent_where_none_is_due():
    async def receive(raw, _):
        return b"" if raw.split(b"|")[9] == b"1" else ack(raw)

    async with Running(receive) as listener:
        reader, writer = await connect(listener)
        writer.write(frame(message("1")) + frame(message("2")))
        assert await frames(reader, 1) == [ack(message("2"))]
        writer.close()


async def test_the_client_passes_over_acks_of_other_messages():
    async def receive(raw, _):
        late = frame(ack(message("0")))
        return late[1:] + frame(ack(raw))[:-2]

    async with Running(receive) as listener:
        assert await mllp.send(HOST, listener.port, message("5")) == ack(message("5"))


async def test_the_client_says_when_no_ack_comes():
    async def receive(_, __):
        await asyncio.Event().wait()

    async with Running(receive) as listener:
        with pytest.raises(NoAcknowledgement, match=r"within 0\.05 seconds"):
            await mllp.send(HOST, listener.port, message(), timeout=0.05)
        port = listener.port
        await listener.stop(drain=0)
    with pytest.raises(NoAcknowledgement, match="connection failed"):
        await mllp.send(HOST, port, message())


async def test_the_client_says_when_the_connection_is_closed():
    async with Running(connections=0) as listener:
        with pytest.raises(NoAcknowledgement, match=r"closed|failed"):
            await mllp.send(HOST, listener.port, message())

"""Answers in one piece over real sockets: one packet, and everything else as uvicorn sends it."""

import asyncio
import contextlib

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from fhir_server.http.protocol import OnePiece, Sending


def head(status, *headers):
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content, more=False):
    return {"type": "http.response.body", "body": content, "more_body": more}


def length(n):
    return (b"content-length", b"%d" % n)


ANSWERS = {
    "/plain": [head(200, length(5), (b"x-a", b"b")), body(b"hello")],
    "/pieces": [head(200, length(6)), body(b"abc", True), body(b"def", True), body(b"")],
    "/unsized": [head(200), body(b"hello")],
    "/nothing": [head(204), body(b"")],
    "/split": [head(200, length(5), (b"x-a", b"b\r\nset-cookie: a=b")), body(b"hello")],
    "/short": [head(200, length(9)), body(b"hello")],
    "/closes": [head(200, length(5), (b"connection", b"close")), body(b"hello")],
    "/half": [head(200, length(5))],
}


async def app(scope, receive, send):
    """Answer with what is written for a path, or with what was sent; anything else is a fault."""
    if scope["path"] == "/echo":
        sent, more = b"", True
        while more:
            message = await receive()
            sent += message["body"]
            more = message["more_body"]
        messages = [head(200, length(len(sent))), body(sent)]
    else:
        messages = ANSWERS[scope["path"]]
    for message in messages:
        await send(message)


class Server(uvicorn.Server):
    def __init__(self, config):
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self):
        yield


@pytest.fixture
async def port():
    config = uvicorn.Config(
        app, port=0, http=OnePiece, ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = Server(config)
    task = asyncio.create_task(server.serve())
    await server.ready.wait()
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def asked(port, *requests):
    """Send requests over one connection, and give all that comes until it ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(requests))
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return answer


def get(path, method="GET", more=""):
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


def last(path, method="GET"):
    return get(path, method, "Connection: close\r\n")


async def test_a_connection_goes_on_after_an_answer(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get("/plain"))
    whole = await asyncio.wait_for(reader.readuntil(b"hello"), 20)
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nx-a: b\r\n" in whole
    assert b"\r\ndate: " in whole
    writer.write(get("/plain") + last("/plain"))
    rest = await asyncio.wait_for(reader.read(), 20)
    assert rest.count(b"hello") == 2
    assert rest.count(b"connection: close") == 1
    writer.close()
    await writer.wait_closed()


async def test_head_and_body_leave_in_one_write(port):
    written = []

    class Transport:
        def write(self, data):
            written.append(data)

    await direct(Transport(), "GET", "/plain")
    assert len(written) == 1
    assert written[0].endswith(b"\r\n\r\nhello")


async def direct(transport, method, path):
    """Answer one request of a cycle that is no connection's."""
    cycle = RequestResponseCycle(
        scope={"method": method, "path": path},
        transport=transport,
        flow=FlowControl(transport),
        logger=None,
        access_logger=None,
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )
    await app(cycle.scope, cycle.receive, Sending(cycle))
    assert cycle.response_complete


async def test_answers_to_pipelined_requests_come_in_order(port):
    post = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
    answer = await asked(
        port, post + b"one", get("/pieces"), post + b"two", get("/unsized"), last("/plain")
    )
    places = [answer.index(text) for text in (b"one", b"abc", b"two", b"hello")]
    assert places == sorted(places)
    assert answer.count(b"HTTP/1.1 200 OK") == 5


async def test_head_is_answered_without_a_body(port):
    answer = await asked(port, get("/plain", "HEAD"), last("/plain", "HEAD"))
    assert answer.count(b"content-length: 5") == 2
    assert b"hello" not in answer


async def test_what_has_no_body_ends_with_its_head(port):
    answer = await asked(port, get("/nothing"), last("/nothing"))
    assert answer.count(b"HTTP/1.1 204 No Content\r\n") == 2
    assert b"transfer-encoding" not in answer


async def test_an_answer_without_a_length_comes_in_chunks(port):
    answer = await asked(port, last("/unsized"))
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"5\r\nhello\r\n0\r\n\r\n")


async def test_an_application_may_close_the_connection(port):
    answer = await asked(port, get("/closes"))
    assert answer.count(b"connection: close") == 1
    assert answer.endswith(b"hello")


async def test_an_old_client_is_answered(port):
    answer = await asked(port, b"GET /plain HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"hello")


@pytest.mark.parametrize("path", ["/split", "/short", "/half", "/fault"])
async def test_a_wrong_answer_is_never_taken_for_a_right_one(port, path, caplog):
    answer = await asked(port, last(path))
    assert b"set-cookie" not in answer
    whole = answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"hello")
    assert not whole or b"content-length: 9" in answer


async def test_a_request_that_is_no_http_is_refused(port):
    assert (await asked(port, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert b"400 Bad Request" in await asked(port, get("/plain"), b"nonsense\r\n\r\n")

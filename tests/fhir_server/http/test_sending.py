"""Answers in pieces: to whom they stop, and how they end when the rest cannot be read."""

import asyncio

import pytest

from fhir_server.http.sending import send_answer
from fhir_server.message import FhirResponse, Pieces
from fhir_server.store.port import ContentGone


class Client:
    """Takes an answer; goes away when it has so many bytes."""

    def __init__(self, stays: int = 1 << 30) -> None:
        self.messages = []
        self._stays = stays
        self._gone = asyncio.Event()

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.messages)

    async def receive(self):
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.messages.append(message)
        if len(self.body) >= self._stays:
            self._gone.set()
        await asyncio.sleep(0)


class Content:
    """Gives ten pieces of a hundred bytes; where it is `lost`, only three."""

    def __init__(self, *, lost: bool = False) -> None:
        self.given = 0
        self.closed = False
        self._lost = lost

    async def read(self):
        try:
            for _ in range(10):
                if self._lost and self.given == 3:
                    raise ContentGone
                self.given += 1
                yield b"x" * 100
        finally:
            self.closed = True


async def told(client, content, **more):
    response = FhirResponse(200, pieces=Pieces(1000, content.read))
    await send_answer(client.send, client.receive, response, [], **({"without_body": False} | more))


async def test_pieces_are_sent_as_they_are_read():
    client, content = Client(), Content()
    await told(client, content)
    assert dict(client.messages[0]["headers"])[b"content-length"] == b"1000"
    assert client.body == b"x" * 1000
    assert not client.messages[-1].get("more_body", False)


async def test_nothing_is_read_for_a_client_that_has_gone():
    client, content = Client(stays=250), Content()
    await told(client, content)
    assert content.given == 4
    assert content.closed


async def test_an_answer_whose_rest_is_lost_is_not_ended_in_order():
    client, content = Client(), Content(lost=True)
    await told(client, content)
    assert len(client.body) == 300
    assert client.messages[-1]["more_body"]


async def test_nothing_is_read_for_head():
    client, content = Client(), Content()
    await told(client, content, without_body=True)
    assert (content.given, client.body) == (0, b"")
    assert dict(client.messages[0]["headers"])[b"content-length"] == b"1000"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_name_no_length(status):
    client = Client()
    await send_answer(client.send, client.receive, FhirResponse(status), [], without_body=False)
    assert b"content-length" not in dict(client.messages[0]["headers"])

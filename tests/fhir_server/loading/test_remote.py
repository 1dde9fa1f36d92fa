"""The door of a running server: which base it is, when to ask again, and what no answer means."""

import httpx
import pytest

from fhir_server.loading.load import BrokenOff
from fhir_server.loading.remote import Remote, base_of, target_of

BUNDLE = {"resourceType": "Bundle", "type": "batch", "entry": []}


async def sent(answer):
    """Send a Bundle to what answers so; gives status, answer and how often it was asked."""
    asked = []

    def answers(request):
        asked.append(request)
        return answer(len(asked))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answers)) as client:
        status, resource = await Remote(client, "http://h/fhir").send(BUNDLE)
    return status, resource, len(asked)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_says_when_is_asked_again_then(status):
    later = httpx.Response(status, headers={"Retry-After": "0"})
    done = httpx.Response(200, json=BUNDLE)
    assert await sent(lambda n: done if n == 3 else later) == (200, BUNDLE, 3)
    assert await sent(lambda _: later) == (status, {}, 4)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_does_not_say_when_is_not_asked_again(status):
    assert await sent(lambda _: httpx.Response(status)) == (status, {}, 1)


async def test_an_answer_that_is_no_resource_is_none():
    assert await sent(lambda _: httpx.Response(502, text="<html>")) == (502, {}, 1)


@pytest.mark.parametrize(
    ("fault", "told"),
    [(httpx.ConnectError, "cannot be reached"), (httpx.ReadTimeout, "not known what was stored")],
)
async def test_no_answer_breaks_off_and_says_what_is_known(fault, told):
    def answer(_):
        raise fault("")

    with pytest.raises(BrokenOff, match=told):
        await sent(answer)


def test_one_base_is_one_target_however_it_is_written():
    written = ["http://h/fhir", "HTTP://H:80/fhir/", "http://name:secret@h/fhir"]
    assert {target_of(base_of(text)) for text in written} == {"http://h/fhir"}
    assert target_of(base_of("http://h/t/a/fhir")) != "http://h/fhir"


@pytest.mark.parametrize(
    "text", ["nonsense", "ftp://h/fhir", "http://", "http://h/fhir?x=1", "http://h:x/fhir"]
)
def test_what_is_no_base_is_refused(text):
    with pytest.raises(ValueError, match="--base"):
        base_of(text)

"""A bulk data server of answers in order, and what was asked of it."""

from collections import defaultdict

import httpx
import pytest

from fhir_server.bulk.bearer import Given
from fhir_server.bulk.client import BulkClient
from fhir_server.bulk.exchange import Exchange


class Server:
    """Answers each URL with what is listed for it, the last one again and again."""

    def __init__(self):
        self.answers = defaultdict(list)
        self.requests = []
        self.slept = []

    def at(self, url, *answers):
        """List answers: responses, or exceptions that the way there raises."""
        self.answers[url].extend(answers)
        return self

    def __call__(self, request):
        self.requests.append(request)
        pending = self.answers[str(request.url)]
        if not pending:
            return httpx.Response(404)
        answer = pending.pop(0) if len(pending) > 1 else pending[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def tokens(self, url):
        """Give the Authorization header of each request to a URL."""
        return [r.headers.get("authorization") for r in self.requests if str(r.url) == url]

    async def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
async def http(server):
    transport = httpx.MockTransport(server)
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
        yield client


@pytest.fixture
def client(server, http):
    """Give a client of the server, with a token unless another bearer is given."""

    def make(bearer=None):
        base = "https://ehr.example/fhir/"
        return BulkClient(Exchange(http, base, bearer or Given("T"), server.sleep))

    return make

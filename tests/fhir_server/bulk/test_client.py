"""A bulk export against a server that does what servers do: refuse, wait, break, lie about counts."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from fhir_server.bulk.client import Ask
from fhir_server.bulk.exchange import ExportFailed
from fhir_server.bulk.manifest import Listed, Manifest

BASE = "https://ehr.example/fhir"
STATUS = "https://ehr.example/status/1"
FILE = "https://ehr.example/files/1"
DONE = httpx.Response(200, json={"transactionTime": "2026-01-02T03:04:05Z", "output": []})
LINE = b'{"resourceType":"Patient"}\n'


class Renewing:
    """Gives t1 until asked for a new one, then t2."""

    def __init__(self):
        self.current = "t1"

    async def token(self, *, renewed=False):
        self.current = "t2" if renewed else self.current
        return self.current


def listed(url=FILE, count=2, protected=True, name="Patient.ndjson"):
    return Listed("Patient", url, count, name, protected)


async def fetched(client, folder, *files):
    return await client.fetch(Manifest("", files), folder, lambda _: None)


@pytest.mark.parametrize(
    ("ask", "path"),
    [
        (Ask(), "$export"),
        (Ask("Patient", ("Patient", "Device")), "Patient/$export?_type=Patient%2CDevice"),
        (Ask("Group/1", (), "2026-01-01T00:00:00+01:00"),
         "Group/1/$export?_since=2026-01-01T00%3A00%3A00%2B01%3A00"),
    ],
)  # fmt: skip
async def test_the_kick_off_says_what_is_wanted_and_gives_the_status(server, client, ask, path):
    accepted = httpx.Response(202, headers={"Content-Location": "/status/1"})
    server.at(f"{BASE}/{path}", accepted)
    assert await client().start(ask) == STATUS
    (request,) = server.requests
    assert request.headers["prefer"] == "respond-async"
    assert request.headers["authorization"] == "Bearer T"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(202),
        httpx.Response(200, json={"resourceType": "Bundle"}),
        httpx.Response(403, json={"issue": [{"diagnostics": "no scope"}]}),
        httpx.Response(400, content=b"<html>"),
    ],
)
async def test_a_kick_off_that_is_not_accepted_is_told_with_its_reason(server, client, answer):
    server.at(f"{BASE}/$export", answer)
    with pytest.raises(ExportFailed, match=str(answer.status_code)):
        await client().start(Ask())
    assert len(server.requests) == 1


async def test_polling_waits_as_long_as_the_server_says(server, client):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    server.at(
        STATUS,
        httpx.Response(202, headers={"Retry-After": "7", "X-Progress": "running, 25 %"}),
        httpx.Response(202, headers={"Retry-After": later}),
        httpx.Response(202, headers={"Retry-After": "soon"}),
        httpx.Response(429, headers={"Retry-After": "9"}),
        httpx.Response(202, headers={"Retry-After": "999999"}),
        DONE,
    )
    seen = []
    manifest = await client().wait(STATUS, lambda *told: seen.append(told))
    assert manifest.time == "2026-01-02T03:04:05Z"
    first, dated, unclear, busy, longest = server.slept
    assert (first, unclear, busy, longest) == (7, 4, 9, 120)
    assert 40 < dated <= 50
    assert seen[0] == ("running, 25 %", 25)
    assert seen[1] == ("", None)


async def test_a_broken_way_is_tried_again_and_not_for_ever(server, client):
    broken = httpx.ConnectError("refused")
    server.at(STATUS, broken, broken, DONE)
    await client().wait(STATUS, lambda *_: None)
    server.answers.clear()
    server.at(STATUS, broken)
    with pytest.raises(ExportFailed, match="cannot be reached: refused"):
        await client().wait(STATUS, lambda *_: None)


async def test_an_export_that_fails_is_told_with_its_reason(server, client):
    server.at(STATUS, httpx.Response(500, json={"issue": [{"details": {"text": "disk full"}}]}))
    with pytest.raises(ExportFailed, match="500 disk full"):
        await client().wait(STATUS, lambda *_: None)


async def test_a_manifest_that_is_none_is_told(server, client):
    server.at(STATUS, httpx.Response(200, content=b"[]"))
    with pytest.raises(ExportFailed, match="not understood"):
        await client().wait(STATUS, lambda *_: None)


async def test_the_token_goes_to_the_server_s_own_origin_and_only_where_it_is_needed(
    server, client, tmp_path
):
    elsewhere = "https://files.example/1"
    port = "https://ehr.example:8443/1"
    open_ = "https://ehr.example/files/open"
    for url in (FILE, elsewhere, port, open_):
        server.at(url, httpx.Response(200, content=LINE * 2))
    files = (
        listed(name="1"),
        listed(elsewhere, name="2"),
        listed(port, name="3"),
        listed(open_, protected=False, name="4"),
    )
    assert not any(one.problem for one in await fetched(client(), tmp_path, *files))
    assert server.tokens(FILE) == ["Bearer T"]
    assert server.tokens(elsewhere) == server.tokens(port) == server.tokens(open_) == [None]


async def test_the_token_does_not_follow_a_redirect_to_another_origin(server, client, tmp_path):
    elsewhere = "https://files.example/1"
    server.at(FILE, httpx.Response(302, headers={"Location": elsewhere}))
    server.at(elsewhere, httpx.Response(200, content=LINE * 2))
    (one,) = await fetched(client(), tmp_path, listed())
    assert not one.problem
    assert server.tokens(elsewhere) == [None]


async def test_a_token_that_has_ended_is_renewed_once(server, client, tmp_path):
    refused = httpx.Response(401)
    server.at(FILE, refused, httpx.Response(200, content=LINE * 2))
    server.at(STATUS, refused, DONE)
    await client(Renewing()).wait(STATUS, lambda *_: None)
    assert server.tokens(STATUS) == ["Bearer t1", "Bearer t2"]
    (one,) = await fetched(client(Renewing()), tmp_path, listed())
    assert not one.problem
    server.answers.clear()
    server.at(FILE, refused)
    (one,) = await fetched(client(Renewing()), tmp_path, listed())
    assert "401" in one.problem


async def test_lines_are_counted_however_the_file_ends(server, client, tmp_path):
    for number, content in enumerate((LINE * 2, (LINE * 2).strip(), b"\n" + LINE + b"\r\n" + LINE)):
        url = f"{FILE}/{number}"
        server.at(url, httpx.Response(200, content=content))
        (one,) = await fetched(client(), tmp_path, listed(url))
        assert (one.lines, one.size, one.problem) == (2, len(content), "")
        assert (tmp_path / "Patient.ndjson").read_bytes() == content


async def test_a_short_file_keeps_its_part_and_an_uncounted_one_cannot_be_short(
    server, client, tmp_path
):
    server.at(FILE, httpx.Response(200, content=LINE))
    short, uncounted, longer = await fetched(
        client(),
        tmp_path,
        listed(name="a"),
        listed(count=None, name="b"),
        listed(count=0, name="c"),
    )
    assert short.problem == "short: kept as a.part"
    assert not uncounted.problem + longer.problem
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.part", "b", "c"]


async def test_a_file_that_breaks_off_is_fetched_again_from_the_start(server, client, tmp_path):
    def broken():
        yield LINE
        raise httpx.ReadError("reset")

    class Breaking(httpx.AsyncByteStream):
        async def __aiter__(self):
            for piece in broken():
                yield piece

    answers = [httpx.Response(200, stream=Breaking()), httpx.Response(503), None]
    original = server.__call__

    def answer(request):
        answer = answers.pop(0) if answers else None
        return answer or original(request)

    server.at(FILE, httpx.Response(200, content=LINE * 2))
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        made = client()
        made._exchange._http = http
        (one,) = await fetched(made, tmp_path, listed())
    assert (one.lines, one.problem) == (2, "")
    assert (tmp_path / "Patient.ndjson").read_bytes() == LINE * 2
    assert server.slept == [1, 2]


async def test_one_file_that_cannot_be_had_does_not_keep_the_others_back(server, client, tmp_path):
    server.at(FILE, httpx.Response(200, content=LINE * 2))
    missing, right = await fetched(
        client(), tmp_path, listed("https://ehr.example/gone", name="x"), listed(name="y")
    )
    assert "404" in missing.problem
    assert not right.problem


async def test_cancelling_tells_the_server(server, client):
    server.at(STATUS, httpx.Response(202))
    await client().cancel(STATUS)
    assert [request.method for request in server.requests] == ["DELETE"]

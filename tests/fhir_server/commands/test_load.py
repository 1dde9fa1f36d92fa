"""`hounsfield load`: each target has its own progress, and what a server cannot do is done the next time."""

import gzip
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


class Fake:
    """A server that answers as it is told to; `sent` are the Bundles: type, and ids or types in them."""

    def __init__(self):
        self.sent = []
        self.answers = {}
        self._httpd = HTTPServer(("127.0.0.1", 0), _answering(self))
        self.base = f"http://127.0.0.1:{self._httpd.server_port}/fhir"
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.05,))
        self._thread.start()

    def answer(self, bundle):
        """Give status and body: that all is stored, but where something else is to be said once."""
        self.sent.append([entry["request"]["url"] for entry in bundle["entry"]])
        stored = [{"response": {"status": "201"}} for _ in bundle["entry"]]
        said = {"resourceType": "Bundle", "type": f"{bundle['type']}-response", "entry": stored}
        return self.answers.pop(len(self.sent), (200, json.dumps(said)))

    def close(self):
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()


def _answering(fake):
    class Answering(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            status, text = fake.answer(json.loads(body))
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            """Say nothing."""

    return Answering


@pytest.fixture
def fake():
    made = Fake()
    yield made
    made.close()


def lines(*resources):
    return "".join(json.dumps(one) + "\n" for one in resources).encode()


def patients(count):
    return lines(*({"resourceType": "Patient", "id": f"p{n}"} for n in range(count)))


def test_what_one_store_has_no_other_has(hounsfield, file, tmp_path):
    path = file("a.ndjson", patients(3))
    other = ("--data", tmp_path / "d", "--store", f"sqlite:///{tmp_path}/other.sqlite")
    assert "3 stored, 0 loaded before" in hounsfield("load", path, "--data", tmp_path / "d").out
    assert "3 stored, 0 loaded before" in hounsfield("load", path, *other).out
    assert "0 stored, 3 loaded before" in hounsfield("load", path, *other).out
    (tmp_path / "other.sqlite").unlink()
    assert "3 stored, 0 loaded before" in hounsfield("load", path, *other).out


def test_what_one_server_has_no_other_has(hounsfield, file, fake):
    path = file("a.ndjson", patients(3))
    assert "3 stored" in hounsfield("load", path, "--base", fake.base).out
    assert "3 loaded before" in hounsfield("load", path, "--base", f"{fake.base}/").out
    another = fake.base.replace("/fhir", "/t/a/fhir")
    assert "3 stored" in hounsfield("load", path, "--base", another).out
    assert len(fake.sent) == 2


def test_again_begins_anew_in_its_target_alone(hounsfield, file, fake):
    path, other = file("a.ndjson", patients(3)), file("b.ndjson", patients(2))
    for one in (path, other):
        hounsfield("load", one, "--base", fake.base)
    assert "3 stored" in hounsfield("load", path, "--again", "--base", fake.base).out
    assert "2 loaded before" in hounsfield("load", other, "--base", fake.base).out


def test_a_group_that_a_server_could_not_store_is_sent_the_next_time(hounsfield, file, fake):
    path = file("a.ndjson", patients(500))
    fake.answers[2] = (503, "<html>")
    ran = hounsfield("load", path, "--base", fake.base)
    assert ran.status == 1
    assert "200 stored" in ran.out
    assert "broken off: the server answers 503" in ran.err
    ran = hounsfield("load", path, "--base", fake.base)
    assert (ran.status, "300 stored, 200 loaded before, 0 refused" in ran.out) == (0, True)
    assert [group[0] for group in fake.sent] == [
        f"Patient/p{n}" for n in (0, 200, 200, 400)
    ]  # the second was sent once, not as a batch too


@pytest.mark.parametrize("answer", [(401, "{}"), (502, "<html>"), (200, "<html>"), (404, "{}")])
def test_a_server_that_takes_nothing_keeps_the_load_from_beginning(hounsfield, file, fake, answer):
    fake.answers[1] = answer
    if answer[0] == 404:  # may be said of an entry, so that a batch is tried
        fake.answers[2] = answer
    path = file("a.ndjson", patients(3))
    ran = hounsfield("load", path, "--base", fake.base)
    assert (ran.status, ran.out) == (2, "")
    assert "3 stored" in hounsfield("load", path, "--base", fake.base).out


def test_a_file_that_is_cut_short_is_sent_once(hounsfield, file, fake):
    some = random.Random(1)
    whole = lines(
        *({"resourceType": "Basic", "code": {"text": str(some.random())}} for _ in range(3_000))
    )
    packed = gzip.compress(whole)
    path = file("a.ndjson.gz", packed[: len(packed) // 2])
    ran = hounsfield("load", path, "--base", fake.base)
    assert ran.status == 1
    assert "1 refused" in ran.out
    assert "cannot be read" in ran.out
    sent = len(fake.sent)
    assert sent > 1
    hounsfield("load", path, "--base", fake.base)
    assert len(fake.sent) == sent


@pytest.mark.parametrize("base", ["nonsense", "http://127.0.0.1:9/fhir"])
def test_a_server_that_is_not_there_is_said_in_a_sentence(hounsfield, file, base):
    ran = hounsfield("load", file("a.ndjson", patients(1)), "--base", base)
    assert (ran.status, ran.out) == (2, "")
    assert "hounsfield: " in ran.err


def test_a_damaged_gz_is_refused_where_it_ends(hounsfield, file, tmp_path):
    packed = bytearray(gzip.compress(patients(20_000)))
    packed[10:14] = b"\xff" * 4
    path = file("a.ndjson.gz", bytes(packed))
    ran = hounsfield("load", path, "--data", tmp_path / "d")
    assert ran.status == 1
    assert "cannot be read" in ran.out
    ran = hounsfield("load", "--history", path, "--data", tmp_path / "d")
    assert ran.status == 1
    assert "cannot be read to its end" in ran.err


def test_a_folder_or_store_that_cannot_be_opened_is_said_in_a_sentence(hounsfield, file, tmp_path):
    path = file("a.ndjson", patients(1))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "store.sqlite").write_bytes(b"this is no database at all" * 100)
    for data in (tmp_path / "d", path, "/proc/nope"):
        for more in ((), ("--history",)):
            ran = hounsfield("load", path, *more, "--data", data)
            assert ran.status == 2
            assert "hounsfield: " in ran.err


def test_a_collection_that_is_none_is_refused(hounsfield, file, tmp_path):
    bundle = {"resourceType": "Bundle", "type": "collection"}
    wrong = [{**bundle, "entry": entry} for entry in ({}, ["x"], [{"resource": {}}])]
    ran = hounsfield("load", file("a.ndjson", lines(*wrong)), "--data", tmp_path / "d")
    assert ran.status == 1
    assert "0 stored, 0 loaded before, 3 refused" in ran.out


def test_a_second_load_tells_and_exits_as_the_first_where_lines_were_refused(
    hounsfield, file, tmp_path
):
    wrong = {"resourceType": "Patient", "id": "b", "gender": "x"}
    path = file("a.ndjson", lines({"resourceType": "Patient", "id": "a"}, wrong))
    first = hounsfield("load", path, "--data", tmp_path / "d")
    second = hounsfield("load", path, "--data", tmp_path / "d")
    again = hounsfield("load", path, "--again", "--data", tmp_path / "d")
    assert [ran.status for ran in (first, second, again)] == [1, 1, 1]
    assert "0 stored, 1 loaded before, 0 refused\n1 refused before" in second.out
    told = f"  {path}:2: "
    assert told in first.out
    assert told in second.out
    assert told in again.out
    assert "0 loaded before, 1 refused" in again.out

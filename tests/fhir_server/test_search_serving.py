"""Search over HTTP with real tokens: pages while others write, pages by POST, full text, explanations."""

import subprocess
import sys
import threading

import httpx
import pytest
from bodies import observation, patient, transaction
from served import Served

SIZE = 60


def minted(data, scope, *more):
    command = [sys.executable, "-m", "fhir_server", "token", "--scope", scope, "--data", str(data)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=True)
    return {"Authorization": f"Bearer {done.stdout.strip()}"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("search"), auth="smart")
    made.admin = minted(made.data, "system/*.cruds")
    people = [patient(f"p{n}", name=[{"family": f"Family{n:03d}"}]) for n in range(SIZE)]
    some = [observation("o1", "Patient/p1", note=[{"text": "lesion in the left lung"}])]
    bundle = transaction(*people, *some)
    httpx.post(made.base, json=bundle, headers=made.admin, timeout=60).raise_for_status()
    yield made
    made.stop()


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.base, headers=served.admin, timeout=60) as made:
        yield made


def ids(bundle):
    return [e["resource"]["id"] for e in bundle.get("entry", ()) if e["search"]["mode"] == "match"]


def following(bundle, relation="next"):
    return next((x["url"] for x in bundle["link"] if x["relation"] == relation), None)


@pytest.mark.parametrize("sort", ["family", "-_lastUpdated"])
def test_pages_hold_everything_once_while_others_write(served, client, sort):
    ended = threading.Event()

    def write():
        with httpx.Client(base_url=served.base, headers=served.admin, timeout=60) as writer:
            n = 0
            while not ended.is_set():
                moved = patient(f"p{n % SIZE}", name=[{"family": f"Family{n * 7 % SIZE:03d}x"}])
                writer.put(f"/Patient/{moved['id']}", json=moved).raise_for_status()
                writer.post("/Patient", json=patient(name=[{"family": "Family030"}]))
                n += 1

    writing = threading.Thread(target=write)
    writing.start()
    try:
        bundle = client.get("/Patient", params={"_count": 7, "_sort": sort}).json()
        found = ids(bundle)
        while (url := following(bundle)) is not None:
            bundle = client.get(url).raise_for_status().json()
            found += ids(bundle)
    finally:
        ended.set()
        writing.join()
    assert len(found) == len(set(found))
    assert {f"p{n}" for n in range(SIZE)} <= set(found)


def test_a_search_by_post_is_paged_without_its_criteria_in_a_url(served, client):
    form = {"family": "family", "_count": "5", "_sort": "_id"}
    bundle = client.post("/Patient/_search", data=form).raise_for_status().json()
    url = following(bundle)
    assert url.startswith(f"{served.base}/Patient?_cursor=")
    second = client.get(url).raise_for_status().json()
    assert not set(ids(second)) & set(ids(bundle))
    assert ids(client.get(following(second, "previous")).json()) == ids(bundle)
    other = httpx.get(url, headers=minted(served.data, "system/Patient.rs"), timeout=60)
    assert other.status_code == 400
    assert other.json()["resourceType"] == "OperationOutcome"
    assert "family" not in other.text


def test_words_are_found_with_what_refers_to_them(client):
    bundle = client.get('/Observation?_content="left lung"&_include=Observation:subject').json()
    assert [e["search"]["mode"] for e in bundle["entry"]] == ["match", "include"]
    assert ids(client.get("/Observation", params={"_content": "lung AND (liver OR lesion)"}).json())
    assert not ids(client.get("/Observation?_text=lung").json())


def test_only_administrators_are_told_how_a_search_is_run(served, client):
    url = "/Patient?family=family001&_explain=true"
    bundle = client.get(url).raise_for_status().json()
    texts = [i["diagnostics"] for i in bundle["entry"][-1]["resource"]["issue"]]
    assert any("rows examined" in text for text in texts)
    few = minted(served.data, "system/*.rs")
    assert httpx.get(served.base + url, headers=few, timeout=60).status_code == 403


def test_orphans_are_told_and_so_is_it_in_the_capability_statement(client):
    assert "p1" not in ids(client.get("/Patient?_orphan=true&_count=1000").json())
    assert ids(client.get("/Observation?_orphan=true").json()) == ["o1"]
    stated = client.get("/metadata").json()["rest"][0]["resource"]
    (people,) = [one for one in stated if one["type"] == "Patient"]
    assert {"_text", "_content", "_orphan"} <= {one["name"] for one in people["searchParam"]}
    assert "Observation:subject" in people["searchRevInclude"]

"""What the server itself defines: read, searched and paged beside what is stored, and never written."""

import json

import httpx
import pytest
from served import Served

PATIENT = "http://hl7.org/fhir/StructureDefinition/Patient"
OWN = "https://hounsfield.example/fhir/"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    server = Served(tmp_path_factory.mktemp("shelf") / "data")
    with httpx.Client(base_url=server.base, timeout=120) as client:
        client.server = server
        yield client
    server.stop()


def get(client, path):
    response = client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


def paged(client, path):
    """Give the ids of all pages of a search, in order."""
    found, told = [], get(client, path)
    while True:
        found += [entry["resource"]["id"] for entry in told.get("entry", ())]
        following = [link["url"] for link in told["link"] if link["relation"] == "next"]
        if not following:
            return found
        told = get(client, following[0])


def stored(client, id_, name):
    made = {
        "resourceType": "OperationDefinition",
        "id": id_,
        "url": f"https://example.org/{id_}",
        "name": name,
        "status": "draft",
        "kind": "operation",
        "code": "x",
        "system": True,
        "type": False,
        "instance": False,
    }
    assert client.put(f"OperationDefinition/{id_}", json=made).status_code in {200, 201}


def test_a_definition_of_r4_is_read_with_its_snapshot(client):
    response = client.get("StructureDefinition/Patient")
    assert response.headers["etag"] == 'W/"1"'
    assert len(response.json()["snapshot"]["element"]) > 40
    assert get(client, "StructureDefinition/Patient/_history/1") == response.json()
    assert client.get("StructureDefinition/NoSuchType").status_code == 404


@pytest.mark.parametrize(
    ("path", "id_"),
    [
        ("SearchParameter?code=birthdate&base=Patient", "individual-birthdate"),
        (f"OperationDefinition?url={OWN}OperationDefinition/validate", "validate"),
        ("OperationDefinition?url=http://hl7.org/fhir/OperationDefinition/Patient-everything",
         "Patient-everything"),
        (f"ImplementationGuide?url={OWN}ImplementationGuide/hounsfield.imaging",
         "hounsfield.imaging"),
    ],
)  # fmt: skip
def test_definitions_are_searched_like_resources(client, path, id_):
    assert id_ in paged(client, path)


def test_pages_in_any_order_show_the_stored_and_the_shelved_once_each(client):
    stored(client, "aaa", "Aaa")
    stored(client, "zzz", "Zzz")
    total = get(client, "OperationDefinition?_summary=count")["total"]
    for order in ("", "&_sort=name", "&_sort=-name", "&_sort=_id", "&_sort=-_lastUpdated"):
        found = paged(client, f"OperationDefinition?_count=7{order}")
        assert len(found) == len(set(found)) == total, order
        assert {"aaa", "zzz", "validate"} <= set(found)
    found = paged(client, "OperationDefinition?_count=7&_sort=_id")
    assert found == sorted(found)
    assert paged(client, "OperationDefinition?_count=7&_sort=-_id") == found[::-1]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_is_shelved_cannot_be_written(client, method):
    body = get(client, "StructureDefinition/Patient")
    response = client.request(method, "StructureDefinition/Patient", content=json.dumps(body),
                              headers={"Content-Type": "application/fhir+json"})  # fmt: skip
    assert response.status_code == 405
    assert response.json()["resourceType"] == "OperationOutcome"


def test_nothing_of_it_is_in_histories(client):
    told = get(client, "StructureDefinition/_history")
    assert told.get("entry", []) == []


def test_profiles_that_are_claimed_are_those_that_are_there(client):
    statement = get(client, "metadata")
    claimed = {
        url
        for resource in statement["rest"][0]["resource"]
        for url in resource.get("supportedProfile", ())
    }
    assert {url.rpartition("/")[2] for url in claimed} >= {"imaging-order", "ai-finding"}
    assert all(get(client, f"StructureDefinition?url={url}")["entry"] for url in claimed)
    assert (
        "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data" in statement["instantiates"]
    )
    assert not any("us/core" in url for url in statement["instantiates"])  # it is not installed


def test_a_package_is_claimed_as_long_as_it_is_installed(client):
    import base64

    from fhir_package import PROFILE, SMALL, tgz

    content = base64.b64encode(tgz(SMALL)).decode()
    body = {
        "resourceType": "Parameters",
        "parameter": [{"name": "content", "valueBase64Binary": content}],
    }
    assert client.post("$package-install", json=body).status_code == 200
    assert PROFILE in str(get(client, "metadata"))
    name = {"name": "name", "valueString": "test.small"}
    body = {"resourceType": "Parameters", "parameter": [name]}
    assert client.post("$package-remove", json=body).status_code == 200
    assert PROFILE not in str(get(client, "metadata"))

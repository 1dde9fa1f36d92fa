"""The manifest of a bulk export is read with care: the server chooses neither names nor places."""

import json

import pytest

from fhir_server.bulk import manifest
from fhir_server.bulk.manifest import UnknownManifest

PLACE = "https://ehr.example/status/1"


def entry(type_="Patient", url="https://ehr.example/1", **more):
    return {"type": type_, "url": url, **more}


def read(**parts):
    return manifest.read(json.dumps({"output": [], **parts}).encode(), PLACE)


def test_each_file_gets_a_name_of_its_own():
    found = read(
        output=[entry(), entry("Device", count=5), entry()],
        deleted=[entry("Bundle")],
        error=[entry("OperationOutcome"), entry("OperationOutcome")],
    )
    assert [one.name for one in found.files] == [
        "Patient.ndjson",
        "Device.ndjson",
        "Patient.2.ndjson",
        "deleted.ndjson",
        "error.ndjson",
        "error.2.ndjson",
    ]
    assert [one.count for one in found.files[:2]] == [None, 5]


def test_a_url_may_be_relative_to_where_the_manifest_came_from():
    (one,) = read(output=[entry(url="/files/1")]).files
    assert one.url == "https://ehr.example/files/1"


@pytest.mark.parametrize(("stated", "protected"), [(True, True), (False, False), (None, False)])
def test_whether_a_token_is_needed_is_the_server_s_word(stated, protected):
    found = read(output=[entry()], requiresAccessToken=stated)
    assert found.files[0].protected is protected


@pytest.mark.parametrize(
    "output",
    [
        [entry("../../etc/passwd")],
        [entry("")],
        [entry(url="file:///etc/passwd")],
        [{"type": "Patient"}],
        [entry(count="many")],
        "none",
    ],
)
def test_what_is_not_understood_is_refused(output):
    with pytest.raises(UnknownManifest, match="not understood"):
        read(output=output)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"<html>"])
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(UnknownManifest):
        manifest.read(data, PLACE)

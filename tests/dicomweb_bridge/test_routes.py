"""The /dicom-web service, over HTTP: with a third party's client, and with requests by hand."""

import gzip
import io
import json

import dicomweb
import pydicom
import pytest
from dicomweb import ct
from PIL import Image
from stow import INSTANCE, MULTIPART, PLACE, SERIES, STUDY, body, contents, send

from fhir_server.access import Access, Grant
from resources import outcome

READS = [
    f"/studies/{STUDY}",
    f"/studies/{STUDY}/series/{SERIES}",
    PLACE,
    f"/studies/{STUDY}/metadata",
    f"/studies/{STUDY}/series/{SERIES}/metadata",
    f"{PLACE}/metadata",
    f"{PLACE}/rendered",
    f"{PLACE}/frames/1",
    f"{PLACE}/frames/1/rendered",
    f"{PLACE}/bulkdata/7FE00010",
    f"/studies/{STUDY}/series/{SERIES}/rendered",
]


def test_a_third_partys_client_stores_finds_and_retrieves(served, client):
    made = [pydicom.dcmread(io.BytesIO(ct(study=50, number=number))) for number in (1, 2, 3)]
    study, series = made[0].StudyInstanceUID, made[0].SeriesInstanceUID
    answer = client.store_instances(made)
    assert len(answer.ReferencedSOPSequence) == 3
    assert "FailedSOPSequence" not in answer
    assert answer.RetrieveURL == f"{served.url}/studies/{study}"
    (found,) = client.search_for_studies(search_filters={"StudyInstanceUID": study})
    assert found["00201208"]["Value"] == [3]
    assert found["00081190"]["Value"] == [f"{served.url}/studies/{study}"]
    assert len(client.search_for_series(study)) == 1
    assert len(client.search_for_instances(study, series)) == 3
    assert len(client.retrieve_study(study)) == 3
    assert len(client.retrieve_series(study, series)) == 3
    one = client.retrieve_instance(study, series, made[1].SOPInstanceUID)
    assert one == made[1]
    metadata = client.retrieve_series_metadata(study, series)
    assert [pydicom.Dataset.from_json(m).InstanceNumber for m in metadata] == [1, 2, 3]
    (frame,) = client.retrieve_instance_frames(study, series, made[0].SOPInstanceUID, [1])
    assert frame == made[0].PixelData
    (pixels,) = client.iter_bulkdata(metadata[0]["7FE00010"]["BulkDataURI"])
    assert pixels == made[0].PixelData
    picture = client.retrieve_instance_rendered(
        study, series, made[0].SOPInstanceUID, media_types=("image/png",)
    )
    assert Image.open(io.BytesIO(picture)).size == (12, 16)
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_a_study_is_told_in_fhir_before_the_answer(served, http):
    answer = send(http, ct(study=51))
    assert answer.status_code == 200
    uids = [s["identifier"][0]["value"] for s in served.fhir.all("ImagingStudy")]
    assert f"urn:oid:{dicomweb.ROOT}.51" in uids


def test_a_resend_is_a_success(http):
    assert send(http, ct()).status_code == 200
    assert send(http, ct()).status_code == 200


def test_failures_are_told_with_their_reasons(http):
    send(http, ct())
    answer = send(http, ct(PatientName="Other"), ct(number=2), b"not dicom")
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/dicom+json"
    found = answer.json()
    failed = found["00081198"]["Value"][0]
    assert failed["00081155"]["Value"] == [INSTANCE]
    assert failed["00081197"]["Value"] == [0x0111]
    assert found["0008119A"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xC000]}}]
    assert [one["00081155"]["Value"] for one in found["00081199"]["Value"]] == [[f"{SERIES}.2"]]


def test_nothing_stored_is_a_conflict(http):
    assert send(http, b"x").status_code == 409
    assert send(http, ct(study=52), path=f"/studies/{STUDY}").status_code == 409


def test_a_fhir_that_can_not_be_written_is_a_warning_and_the_images_are_kept(served, http):
    served.fhir.fault = outcome.Unavailable("down")
    answer = send(http, ct(study=53))
    assert answer.status_code == 202
    assert answer.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB101]
    served.fhir.fault = None
    assert send(http, ct(study=53, number=2)).status_code == 200
    assert len(http.get(f"/studies/{dicomweb.ROOT}.53/metadata").json()) == 2


@pytest.mark.parametrize("content", [b"", b"--B--", b"garbage", body(ct(study=54))[:-8]])
def test_a_broken_body_is_a_bad_request_and_stores_nothing(http, content):
    assert http.post("/studies", content=content, headers=MULTIPART).status_code == 400
    assert (
        http.get("/studies", params={"StudyInstanceUID": f"{dicomweb.ROOT}.54"}).status_code == 204
    )


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 415),
        ('multipart/related; type="application/dicom+xml"; boundary=B', 415),
        ('multipart/form-data; boundary="B"', 415),
        ('multipart/related; type="application/dicom"', 400),
        ("application/dicom", 200),
    ],
)
def test_a_body_of_another_kind_is_refused(http, content_type, status):
    answer = http.post("/studies", content=ct(), headers={"Content-Type": content_type})
    assert answer.status_code == status


def test_a_request_over_the_limit_is_too_large_whether_announced_or_not(http):
    assert send(http, bytes(6_000_000)).status_code == 413
    chunks = (
        body(bytes(6_000_000))[start : start + 100_000] for start in range(0, 6_000_000, 100_000)
    )
    assert http.post("/studies", content=chunks, headers=MULTIPART).status_code == 413


@pytest.mark.parametrize("path", READS)
def test_what_is_not_there_is_not_found(http, path):
    assert http.get(path.replace(STUDY, "1.2.3")).status_code == 404


@pytest.mark.parametrize("uid", ["..%2f..", "1.2.x", "%2e%2e", "1" * 65, "1.2%00"])
def test_a_path_that_should_be_a_uid_is_checked(http, uid):
    assert http.get(f"/studies/{uid}/metadata").status_code in {400, 404}
    assert http.get(f"/studies/{uid}/series").status_code in {400, 404}


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/studies", "application/dicom+xml"),
        (f"/studies/{STUDY}/metadata", 'multipart/related; type="application/dicom+xml"'),
        (PLACE, "image/png"),
        (
            PLACE,
            'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90',
        ),
        (f"{PLACE}/frames/1", 'multipart/related; type="image/jpeg"'),
        (f"{PLACE}/rendered", "image/gif"),
        (f"{PLACE}/rendered", "application/dicom;q=1, image/png;q=0"),
    ],
)
def test_a_form_that_is_not_offered_is_not_acceptable(http, path, accept):
    send(http, ct())
    assert http.get(path, headers={"Accept": accept}).status_code == 406


def test_one_instance_comes_plain_to_who_asks_for_it_so(http):
    send(http, ct())
    answer = http.get(PLACE, headers={"Accept": "application/dicom"})
    assert answer.content == ct()
    assert answer.headers["content-type"] == "application/dicom"
    exact = {
        "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'
    }
    assert contents(http.get(PLACE, headers=exact)) == [ct()]
    assert http.get(PLACE, params={"accept": "application/dicom"}).content == ct()


def test_metadata_are_compressed_for_who_takes_it(http):
    send(http, ct())
    with http.stream("GET", f"{PLACE}/metadata", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert (
        json.loads(gzip.decompress(raw))
        == http.get(f"{PLACE}/metadata", headers={"Accept-Encoding": "identity"}).json()
    )


def test_searches_page_and_warn_that_there_is_more(http):
    send(http, *(ct(study=60, series=number, StudyDate="20200101") for number in range(1, 5)))
    place = f"/studies/{dicomweb.ROOT}.60/series"
    first = http.get(place, params={"limit": "3"})
    assert len(first.json()) == 3
    assert first.headers["warning"].startswith("299 ")
    second = http.get(place, params={"limit": "3", "offset": "3"})
    assert len(second.json()) == 1
    assert "warning" not in second.headers
    assert http.get(place, params={"limit": "3", "offset": "9"}).status_code == 204


def test_returned_attributes_are_those_asked_for(http):
    send(http, ct(study=61, PatientSex="F", ProtocolName="Routine"))
    place = f"/studies/{dicomweb.ROOT}.61/series"
    plain = http.get(place).json()[0]
    assert "00181030" not in plain
    assert plain["00080060"]["Value"] == ["CT"]
    assert list(plain) == sorted(plain)
    for name in ("ProtocolName", "00181030", "all", "Rows,ProtocolName"):
        assert http.get(place, params={"includefield": name}).json()[0]["00181030"]["Value"] == [
            "Routine"
        ]


def test_keys_that_are_not_supported_are_warned_of_and_unknown_ones_refused(http):
    send(http, ct())
    answer = http.get("/studies", params={"PatientWeight": "80", "fuzzymatching": "true"})
    assert answer.status_code == 200
    assert "00101030" in answer.headers["warning"]
    assert "Fuzzy" in answer.headers["warning"]
    assert http.get("/studies", params={"Nonsense": "1"}).status_code == 400
    series = http.get("/studies", params={"SeriesNumber": "1"})
    assert "00200011" in series.headers["warning"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "-1"),
        ("limit", "x"),
        ("offset", "1e3"),
        ("StudyDate", "2020"),
        ("StudyDate", "20200101-20200102-20200103"),
        ("StudyTime", "1"),
        ("StudyInstanceUID", "1.2,x"),
        ("StudyInstanceUID", "1.2.*"),
        ("includefield", "Nonsense"),
        ("PatientName", "x" * 300),
    ],
)
def test_a_value_that_can_not_be_matched_is_a_bad_request(http, name, value):
    assert http.get("/studies", params={name: value}).status_code == 400


def test_a_refusal_does_not_repeat_what_was_sent(http):
    answer = http.get("/studies", params={"StudyDate": "SECRET", "limit": "5"})
    assert answer.json() == {
        "status": 400,
        "message": "The value of StudyDate must be YYYYMMDD or a range of it",
    }
    assert "SECRET" not in http.get("/studies", params={"SECRET": "1"}).text


def test_a_nested_key_is_matched_by_its_path(http):
    item = pydicom.Dataset()
    item.ScheduledProcedureStepID = "SPS9"
    send(http, ct(study=62, RequestAttributesSequence=pydicom.Sequence([item])))
    for name in ("RequestAttributesSequence.ScheduledProcedureStepID", "00400275.00400009"):
        found = http.get("/series", params={name: "SPS9"}).json()
        assert [one["0020000D"]["Value"] for one in found] == [[f"{dicomweb.ROOT}.62"]]


def limited(served, *studies, letters="rs"):
    """Register the token of someone who may see some studies only."""
    grant = Grant("ImagingStudy", frozenset(letters), patient="p1")
    served.tokens.known["some"] = Access("some", (grant,), patient="p1")
    served.seen["some"] = frozenset(studies)
    return {"Authorization": "Bearer some"}


def test_a_search_shows_only_studies_that_may_be_seen(served, http):
    send(http, ct(), ct(study=70), ct(study=71))
    token = limited(served, f"{dicomweb.ROOT}.70")
    for path in ("/studies", "/series", "/instances"):
        found = http.get(path, headers=token, params={"limit": "1"})
        assert [one["0020000D"]["Value"] for one in found.json()] == [[f"{dicomweb.ROOT}.70"]]
        assert "warning" not in found.headers
    assert http.get(f"/studies/{STUDY}/series", headers=token).status_code == 204


@pytest.mark.parametrize("path", READS)
def test_a_study_that_may_not_be_seen_is_like_one_that_is_not_there(served, http, path):
    send(http, ct())
    token = limited(served, f"{dicomweb.ROOT}.70")
    refused = http.get(path, headers=token)
    absent = http.get(path.replace(STUDY, "1.2.3"), headers=token)
    assert (refused.status_code, refused.content) == (404, absent.content)
    assert http.get(path, headers=limited(served, STUDY)).status_code == 200


@pytest.mark.parametrize("letters", ["c", "u", "rs", "cu"])
def test_storing_needs_unlimited_create_and_update(served, http, letters):
    token = limited(served, STUDY, letters=letters)
    assert send(http, ct(), **token).status_code == 403


def test_a_token_without_imaging_studies_is_forbidden_and_none_is_unauthorised(served, http):
    served.tokens.known["other"] = Access("other", (Grant("Patient", frozenset("rs")),))
    assert http.get("/studies", headers={"Authorization": "Bearer other"}).status_code == 403
    answer = http.get("/studies", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="dicom-web"'


def test_tenants_are_apart(served, http):
    send(http, ct())
    other = http.build_request("GET", f"{served.root}/t/other/dicom-web/studies/{STUDY}/metadata")
    assert http.send(other).status_code == 404
    store = http.build_request(
        "POST",
        f"{served.root}/t/other/dicom-web/studies",
        content=body(ct(study=80)),
        headers=MULTIPART,
    )
    answer = http.send(store)
    assert answer.json()["00081190"]["Value"] == [
        f"{served.root}/t/other/dicom-web/studies/{dicomweb.ROOT}.80"
    ]
    assert http.get(f"/studies/{dicomweb.ROOT}.80/metadata").status_code == 404
    assert [s["resourceType"] for s in served.fhir.all("ImagingStudy", "other")] == ["ImagingStudy"]


@pytest.mark.parametrize("tenant", ["nobody", "a.b", "A", "%2e%2e"])
def test_a_tenant_that_is_not_registered_is_not_found(served, http, tenant):
    url = f"{served.root}/t/{tenant}/dicom-web/studies"
    assert http.get(url).status_code == 404
    assert http.post(url, content=body(ct()), headers=MULTIPART).status_code == 404


def test_a_head_request_is_answered(http):
    send(http, ct())
    assert http.head("/studies").status_code == 200

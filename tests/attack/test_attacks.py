"""Every path and every trick, with a token for one patient, against another patient's record.

Each attack is made on what exists and on what does not: the answers must be the same, and tell nothing.
"""

import json

import pytest
from attacked import ALICE, BOB, FHIR, GHOST, NORTH, STUDIES, shape, told
from dicomweb import ROOT

UID, GHOST_UID = f"{ROOT}.{STUDIES[BOB]}", f"{ROOT}.{STUDIES[GHOST]}"
TYPES = (
    "Patient Encounter Observation Condition ServiceRequest DiagnosticReport Coverage Communication"
    " RelatedPerson List Task Device Provenance Binary DocumentReference Appointment Consent"
)
FORM = {"content_type": "application/x-www-form-urlencoded"}
PATCH = {"content_type": "application/json-patch+json"}


def get(*paths):
    return [("GET", path, None, {}) for path in paths]


def each(*patterns, types=TYPES):
    return [("GET", p.format(type=t), None, {}) for t in types.split() for p in patterns]


READS = each(
    "fhir/{type}/zqbob-1",
    "fhir/{type}/zqbob-1/_history",
    "fhir/{type}/zqbob-1/_history/1",
    "fhir/{type}?_id=zqbob-1",
    "fhir/{type}/zqbob-1?_elements=id",
    "fhir/{type}/zqbob-1?_format=xml",
) + get(
    "fhir/Patient/zqbob-1?_summary=text",
    "fhir/Patient/zqbob-1/",
    "fhir//Patient//zqbob-1",
    "fhir/Patient%2Fzqbob-1",
    f"fhir/Patient/{ALICE}-1/../zqbob-1",
    f"fhir/Patient/{ALICE}-1/%2E%2E/zqbob-1",
    "fhir/Binary/zqbob-2",
    "fhir/Binary/zqbob-2/_history/1",
    "fhir/ImagingStudy/zqbob-study",
    "fhir/ImagingStudy/zqbob-study/_history/1",
    "fhir/Observation/zqbob-focus",
    f"t/{NORTH}/fhir/Patient/zqbob-1",
    f"t/{NORTH}/fhir/Patient?_id=zqbob-1",
    f"t/{NORTH}/dicom-web/studies",
)

COMPARTMENTS = get(
    "fhir/Patient/zqbob-1/Observation",
    "fhir/Patient/zqbob-1/*",
    "fhir/Patient/zqbob-1/*?_type=Observation,Condition",
    "fhir/Encounter/zqbob-1/Observation",
    "fhir/Device/zqbob-1/Observation",
    "fhir/RelatedPerson/zqbob-1/Observation",
)

SEARCHES = get(
    "fhir/Patient?identifier=urn:mrn|zqbob-mrn",
    "fhir/Patient?family=zqbobfamily",
    "fhir/Patient?family:exact=zqbobfamily",
    "fhir/Patient?name:contains=zqbob",
    "fhir/Patient?_id=zqbob-1&_summary=count",
    "fhir/Patient?_id=zqbob-1&_total=accurate&_count=0",
    "fhir/Patient?_id:not=zqali-1",
    f"fhir/Patient?_id={ALICE}-1,zqbob-1&_sort=-_id",
    "fhir/Patient?_text=zqbob",
    "fhir/Patient?_content=zqbob",
    "fhir/Patient?_filter=name co %22zqbob%22",
    "fhir/Observation?subject=zqbob-1",
    "fhir/Observation?subject=Patient/zqbob-1",
    "fhir/Observation?subject:Patient=zqbob-1",
    "fhir/Observation?patient=zqbob-1",
    "fhir/Observation?subject:identifier=urn:mrn|zqbob-mrn",
    "fhir/Observation?code=urn:x|zqbob-code",
    "fhir/Observation?code:not=urn:x|zqbob-code",
    "fhir/Observation?code:missing=false&_sort=code&subject=zqbob-1",
    "fhir/Observation?value-string=zqbob",
    f"fhir/Observation?focus=Patient/{ALICE}-1",
    "fhir/Observation?_list=zqbob-1",
    "fhir/Patient?_list=zqbob-1",
    "fhir/DocumentReference?location=Binary/zqbob-2",
    "fhir/Task?patient=zqbob-1",
    "fhir/Device?patient=zqbob-1",
    "fhir/Appointment?actor=Patient/zqbob-1",
    "fhir?_type=Observation,Patient&_id=zqbob-1",
    "fhir?_id=zqbob-1",
    "fhir/Observation?_lastUpdated=gt2000&subject=zqbob-1&_elements=code",
    "fhir/AuditEvent?patient=zqbob-1",
    "fhir/AuditEvent?entity=Patient/zqbob-1",
)

CHAINS = get(
    "fhir/Observation?subject.family=zqbobfamily",
    "fhir/Observation?subject:Patient.name=zqbob",
    "fhir/Observation?patient.identifier=zqbob-mrn",
    "fhir/DiagnosticReport?result.subject.family=zqbobfamily",
    "fhir/DiagnosticReport?result.code=zqbob-code",
    "fhir/Patient?_has:Observation:patient:code=zqbob-code",
    "fhir/Patient?_has:Observation:subject:_id=zqbob-1",
    "fhir/Patient?_has:Observation:patient:_has:DiagnosticReport:result:code=zqbob-code",
    "fhir/Patient?_has:List:subject:_id=zqbob-1",
    "fhir/Patient?_has:Observation:focus:code:text=zqbob",
    "fhir/Patient?link:Patient._id=zqbob-1",
    "fhir/Encounter?_has:Observation:encounter:code=zqbob-code",
    "fhir/Patient?_has:AuditEvent:patient:_lastUpdated=gt2000&_id=zqbob-1",
)

INCLUDES = get(
    "fhir/DiagnosticReport?_id=zqbob-1&_include=DiagnosticReport:result",
    "fhir/DiagnosticReport?_id=zqbob-1&_include=*&_revinclude=*",
    f"fhir/Observation?focus=Patient/{ALICE}-1&_include=Observation:subject",
    f"fhir/Patient?_id={ALICE}-1&_revinclude=Observation:focus",
    f"fhir/Patient?_id={ALICE}-1&_revinclude=Observation:focus&_include:iterate=Observation:subject",
    f"fhir/Patient?_id={ALICE}-1&_revinclude=Provenance:target&_include:iterate=Provenance:agent",
    f"fhir/Observation?_id={ALICE}-x&_include=Observation:has-member",
    f"fhir/Patient?_id={ALICE}-1&_revinclude=AuditEvent:patient",
)

HISTORY = get(
    "fhir/_history",
    "fhir/Patient/_history",
    "fhir/Observation/_history?_count=500",
    "fhir/Observation/zqbob-1/_history?_at=2100",
)

OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "mine"}}
MINE = OBSERVATION | {"subject": {"reference": f"Patient/{ALICE}-1"}}
THEIRS = OBSERVATION | {"subject": {"reference": "Patient/zqbob-1"}}


def bundle(*entries, kind="transaction"):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method, url, resource=None, **request):
    made = {"request": {"method": method, "url": url} | request}
    return made if resource is None else made | {"resource": resource}


def referring(element, reference):
    return MINE | {element: [{"reference": reference}]}


WRITES = [
    ("POST", "fhir/Observation", THEIRS, {}),
    ("PUT", "fhir/Observation/zqbob-1", MINE | {"id": "zqbob-1"}, {}),
    ("PUT", "fhir/Observation/zqbob-1", THEIRS | {"id": "zqbob-1"}, {}),
    ("PUT", "fhir/Observation/zqbob-1", MINE | {"id": "zqbob-1"}, {"if_match": 'W/"1"'}),
    ("PUT", "fhir/Observation/zqbob-1", MINE | {"id": "zqbob-1"}, {"if_match": 'W/"9"'}),
    ("PUT", "fhir/Binary/zqbob-1", {"resourceType": "Binary", "id": "zqbob-1"}, {}),
    ("PUT", "fhir/Observation?_id=zqbob-1", MINE | {"id": "zqbob-1"}, {}),
    ("PUT", "fhir/Observation?identifier=zqbob-mrn", THEIRS, {}),
    ("PATCH", "fhir/Observation/zqbob-1", [{"op": "remove", "path": "/code"}], PATCH),
    ("PATCH", "fhir/Observation/zqbob-1", [], PATCH | {"if_match": 'W/"1"'}),
    ("PATCH", "fhir/Observation?_id=zqbob-1", [{"op": "remove", "path": "/code"}], PATCH),
    (
        "PATCH",
        "fhir/Patient/zqbob-1",
        [{"op": "test", "path": "/name/0/family", "value": "zqbobfamily"}],
        PATCH,
    ),
    ("DELETE", "fhir/Observation/zqbob-1", None, {}),
    ("DELETE", "fhir/Observation/zqbob-1", None, {"if_match": 'W/"1"'}),
    ("DELETE", "fhir/Observation?_id=zqbob-1", None, {}),
    ("DELETE", "fhir/Observation?subject=Patient/zqbob-1", None, {}),
    ("DELETE", "fhir/Patient/zqbob-1", None, {}),
    ("POST", "fhir/Observation", MINE, {"if_none_exist": "patient.identifier=nobody-zqbob"}),
    ("POST", "fhir/Observation", THEIRS, {"if_none_exist": "identifier=urn:mrn|zqbob-mrn"}),
    ("POST", "fhir/Observation/_search", "subject=Patient/zqbob-1", FORM),
    ("POST", "fhir/Patient/_search", "identifier=urn:mrn|zqbob-mrn&_count=1", FORM),
    ("POST", "fhir/_search", "_type=Patient&_id=zqbob-1", FORM),
    ("POST", "fhir/Patient/zqbob-1/Observation/_search", "", FORM),
    ("POST", "fhir/Observation", referring("focus", "Observation/zqbob-1"), {}),
    ("POST", "fhir/Observation", referring("hasMember", "Observation/zqbob-1"), {}),
    (
        "POST",
        "fhir/DocumentReference",
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": f"Patient/{ALICE}-1"},
            "content": [{"attachment": {"url": "Binary/zqbob-2"}}],
        },
        {},
    ),
    (
        "POST",
        "fhir/Binary",
        {"resourceType": "Binary", "contentType": "text/plain"}
        | {"securityContext": {"reference": "Patient/zqbob-1"}},
        {},
    ),
]

BUNDLES = [
    ("POST", "fhir", one, {})
    for one in (
        bundle(entry("GET", "Patient/zqbob-1"), kind="batch"),
        bundle(entry("GET", "Patient/zqbob-1")),
        bundle(entry("GET", "Observation?subject=Patient/zqbob-1"), kind="batch"),
        bundle(entry("GET", "Patient/zqbob-1/_history/1"), kind="batch"),
        bundle(entry("PUT", "Observation/zqbob-1", MINE | {"id": "zqbob-1"}), kind="batch"),
        bundle(entry("PUT", "Observation/zqbob-1", MINE | {"id": "zqbob-1"})),
        bundle(entry("PUT", "Observation?_id=zqbob-1", MINE)),
        bundle(entry("DELETE", "Observation/zqbob-1"), kind="batch"),
        bundle(entry("DELETE", "Observation?_id=zqbob-1")),
        bundle(entry("GET", "Patient/zqbob-1", ifNoneMatch='W/"1"'), kind="batch"),
        bundle(entry("POST", "Observation", THEIRS)),
        bundle(
            entry(
                "POST",
                "Observation",
                OBSERVATION | {"subject": {"reference": "Patient?identifier=urn:mrn|zqbob-mrn"}},
            )
        ),
        bundle(
            entry(
                "POST",
                "Observation",
                MINE | {"focus": [{"reference": "Patient?family=zqbobfamily"}]},
            )
        ),
        bundle(entry("POST", "Observation", THEIRS, ifNoneExist="identifier=urn:mrn|zqbob-mrn")),
        bundle(entry("POST", "Patient/zqbob-1/$everything"), kind="batch"),
    )
]

OPERATIONS = [
    (method, f"fhir/{place}/${code}", body, {})
    for code in (
        *("everything", "purge", "sign", "infer", "export", "validate", "meta", "meta-add"),
        *("match", "document", "docref", "priors", "lastn", "graphql", "disclosures", "erase"),
        *("meta-delete", "process-message", "convert", "merge", "expand", "member-match"),
    )
    for place in ("Patient/zqbob-1", "ImagingStudy/zqbob-study", "DiagnosticReport/zqbob-1")
    for method, body in (("GET", None), ("POST", {"resourceType": "Parameters"}))
]

IMAGES = get(
    *(
        f"dicom-web/studies/{UID}{rest}"
        for rest in (
            "",
            "/metadata",
            "/rendered",
            "/series",
            "/instances",
            f"/series/{UID}.1",
            f"/series/{UID}.1/metadata",
            f"/series/{UID}.1/rendered",
            f"/series/{UID}.1/instances",
            f"/series/{UID}.1/instances/{UID}.1.1",
            f"/series/{UID}.1/instances/{UID}.1.1/frames/1",
            f"/series/{UID}.1/instances/{UID}.1.1/frames/1/rendered",
            f"/series/{UID}.1/instances/{UID}.1.1/bulkdata/7FE00010",
            f"/series/{UID}.1/instances/{UID}.1.1/metadata",
        )
    ),
    f"dicom-web/studies/{ROOT}.{STUDIES[ALICE]}/series/{UID}.1",
    f"dicom-web/studies/{ROOT}.{STUDIES[ALICE]}/series/{UID}.1/instances/{UID}.1.1",
    f"dicom-web/studies?StudyInstanceUID={UID}",
    "dicom-web/studies?PatientID=zqbob-mrn",
    "dicom-web/studies?PatientName=zqbob*",
    "dicom-web/studies?PatientName=*&includefield=all",
    "dicom-web/studies?PatientName=%3Fq%3Fob*",
    "dicom-web/series?PatientID=*&limit=1000",
    f"dicom-web/series?StudyInstanceUID={UID}",
    f"dicom-web/instances?SOPInstanceUID={UID}.1.1",
    f"dicom-web/instances?StudyInstanceUID={ROOT}.{STUDIES[ALICE]},{UID}",
    "dicom-web/studies?offset=1&limit=1",
    f"dicom-web/studies?00100020=zqbob-mrn&includefield=00100010&StudyInstanceUID={UID}",
)

GROUPS = {
    "read": READS,
    "compartment": COMPARTMENTS,
    "search": SEARCHES,
    "chain": CHAINS,
    "include": INCLUDES,
    "history": HISTORY,
    "write": WRITES,
    "bundle": BUNDLES,
    "operation": OPERATIONS,
    "image": IMAGES,
}
TOKENS = {
    "patient": {"scope": "patient/*.cruds", "patient": f"{ALICE}-1"},
    "herself": {"scope": "user/*.cruds", "user": f"Patient/{ALICE}-1"},
    "narrow": {
        "scope": "patient/Observation.rs?category=laboratory patient/Patient.rs patient/ImagingStudy.rs",
        "patient": f"{ALICE}-1",
    },
}


def onto(what, who):
    """Aim an attack at someone: what exists, or what does not."""
    text = json.dumps(what)
    uid = UID if who == BOB else GHOST_UID
    return json.loads(text.replace(UID, uid).replace(BOB, who))


def attack(world, token, one, who):
    method, path, body, headers = onto(one, who)
    accept = {} if "dicom-web" in path else {"accept": "*/*"}
    return world.ask(token, method, path, body, **headers, **accept)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("group", GROUPS)
def test_an_attack_tells_nothing_and_what_exists_looks_like_what_does_not(world, group, token):
    held = world.token(**TOKENS[token])
    leaks = []
    for one in GROUPS[group]:
        found, absent = (attack(world, held, one, who) for who in (BOB, GHOST))
        if BOB in told(found) or "enFib2I" in found.text:
            leaks.append(("told", one[:2], found.text[:300]))
        if shape(found) != shape(absent):
            leaks.append(("differs", one[:2], shape(found), shape(absent)))
        if found.status_code >= 500:
            leaks.append(("fault", one[:2], found.text[:300]))
    assert not leaks, "\n".join(map(str, leaks[:12]))


@pytest.mark.parametrize("group", ["read", "search", "image"])
def test_another_tenant_s_token_opens_nothing(world, group):
    held = world.token("system/*.cruds", tenant=NORTH)
    for one in GROUPS[group]:
        if f"t/{NORTH}" not in one[1]:
            found = attack(world, held, one, BOB)
            assert found.status_code in {401, 404}, one
            assert BOB not in told(found)
    answered = world.ask(held, "GET", f"t/{NORTH}/fhir/Patient")
    assert answered.json()["total"] == 1


def test_nobody_without_a_token_sees_anything(world):
    for group in ("read", "compartment", "search", "history", "operation", "image"):
        for one in GROUPS[group]:
            found = attack(world, None, one, BOB)
            assert found.status_code in {401, 404, 405}, one
            assert BOB not in told(found)


def test_one_s_own_record_is_seen_in_all_those_ways(world):
    """The attacks would find something: aimed at her own record they do."""
    held = world.token(**TOKENS["patient"])
    for path in (
        f"fhir/Patient/{ALICE}-1",
        f"fhir/Observation/{ALICE}-1/_history",
        f"fhir/Observation?subject.family={ALICE}family",
        f"fhir/Patient?_has:Observation:patient:code={ALICE}-code",
        f"fhir/DiagnosticReport?_id={ALICE}-1&_include=DiagnosticReport:result",
        f"fhir/Task?patient={ALICE}-1",
        f"fhir/Binary/{ALICE}-1",
        f"fhir/Binary/{ALICE}-2",
        f"dicom-web/studies?PatientName={ALICE}*",
    ):
        answered = world.ask(held, "GET", path)
        assert answered.status_code == 200, path
        assert ALICE in answered.text or path.startswith("fhir/Binary"), path


def test_a_page_of_another_caller_is_not_turned(world):
    first = world.ask(world.operator, "GET", "fhir/Observation?_count=1").json()
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    path = following.removeprefix(world.base + "/")
    held = world.token(**TOKENS["patient"])
    answered = world.ask(held, "GET", path)
    assert answered.status_code == 400
    assert BOB not in told(answered)
    history = world.ask(world.operator, "GET", "fhir/Observation/_history?_count=1").json()
    following = next(link["url"] for link in history["link"] if link["relation"] == "next")
    answered = world.ask(held, "GET", following.removeprefix(world.base + "/"))
    assert answered.status_code == 403


def test_a_content_is_not_lent_to_oneself(world):
    held = world.token(**TOKENS["patient"])
    for url in (f"Binary/{BOB}-2", f"{world.base}/fhir/Binary/{BOB}-2", f"Binary/{GHOST}-2"):
        document = {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": f"Patient/{ALICE}-1"},
            "content": [{"attachment": {"url": url}}],
        }
        assert world.ask(held, "POST", "fhir/DocumentReference", document).status_code == 403
        place = f"fhir/DocumentReference/{ALICE}-1"
        changed = document | {"id": f"{ALICE}-1"}
        assert world.ask(held, "PUT", place, changed).status_code == 403
        patch = [{"op": "replace", "path": "/content/0/attachment/url", "value": url}]
        assert world.ask(held, "PATCH", place, patch, **PATCH).status_code == 403
        inside = bundle(entry("POST", "DocumentReference", document))
        assert world.ask(held, "POST", "fhir", inside).status_code == 403
    assert world.ask(held, "GET", f"fhir/Binary/{BOB}-2").status_code == 404


def finished(world, place):
    import time

    for _ in range(60):
        answered = world.ask(world.operator, "GET", place)
        if answered.status_code != 202:
            return answered
        time.sleep(1)
    raise AssertionError("the job does not end")


def test_jobs_and_files_of_others_are_as_if_they_were_not(world):
    started = world.ask(world.operator, "GET", "fhir/$export?_type=Patient", prefer="respond-async")
    place = started.headers["content-location"].removeprefix(world.base + "/")
    manifest = finished(world, place).json()
    (file,) = [one["url"].removeprefix(world.base + "/") for one in manifest["output"]]
    held = world.token(**TOKENS["patient"])
    other = world.token("system/Observation.rs", sub="another service")
    ghost = "fhir/_async/00000000-0000-4000-8000-000000000000"
    for token in (held, other):
        for method in ("GET", "DELETE"):
            for path, absent in ((place, ghost), (file, f"{ghost}/Patient.ndjson")):
                found = world.ask(token, method, path)
                assert shape(found) == shape(world.ask(token, method, absent))
                assert found.status_code == 404
    assert world.ask(world.operator, "GET", file).status_code == 200
    task = world.ask(held, "GET", "fhir/Task?_count=100")
    assert "export" not in task.text


def test_a_link_to_one_study_opens_no_other(world):
    held = world.token(**TOKENS["patient"])
    own = f"{ROOT}.{STUDIES[ALICE]}"
    bearer = {"authorization": f"Bearer {held}"}
    form = {"study": own, "seconds": "60"}
    given = world.client.post("/auth/study-link", data=form, headers=bearer)
    assert given.status_code == 200, given.text
    base = given.json()["dicomweb"].removeprefix(world.base + "/")
    assert world.ask(None, "GET", f"{base}/studies/{own}/metadata").status_code == 200
    for path in ("", "/metadata", f"/series/{UID}.1", f"/series/{UID}.1/instances/{UID}.1.1"):
        found = world.ask(None, "GET", f"{base}/studies/{UID}{path}")
        absent = world.ask(None, "GET", f"{base}/studies/{GHOST_UID}{path}")
        assert found.status_code == 404
        assert shape(found) == shape(absent)
    assert BOB not in told(world.ask(None, "GET", f"{base}/studies?PatientName=*"))
    token = base.partition("/link/")[2]
    assert world.ask(token, "GET", f"fhir/Patient/{ALICE}-1").status_code == 401
    answers = [
        world.client.post("/auth/study-link", data={"study": uid}, headers=bearer)
        for uid in (UID, GHOST_UID)
    ]
    assert answers[0].status_code == answers[1].status_code
    if answers[0].status_code == 200:  # it opens no more than who asked for it may see
        base = answers[0].json()["dicomweb"].removeprefix(world.base + "/")
        assert world.ask(None, "GET", f"{base}/studies/{UID}/metadata").status_code == 404


def test_a_refusal_repeats_nothing_of_another_record(world):
    held = world.token(**TOKENS["patient"])
    for path in (
        "fhir/Observation?date=zqbob",
        "fhir/Patient?birthdate=zqbob",
        "fhir/Patient/zqbob-1/_history/x",
        "fhir/Patient/zq%00bob",
    ):
        assert BOB not in told(world.ask(held, "GET", path)).lower(), path


def test_what_is_very_restricted_is_for_those_who_are_cleared(world):
    place = f"fhir/Observation/{ALICE}-v"
    for token in (
        world.token(**TOKENS["patient"]),
        world.token("user/*.rs", user="Practitioner/1", sub="doctor"),
    ):
        assert world.ask(token, "GET", place).status_code == 404
        assert world.ask(token, "GET", place + "/_history").status_code == 404
        for path in (f"fhir/Observation?_id={ALICE}-v", "fhir/Observation?code:text=zqlabel"):
            assert "zqlabel" not in told(world.ask(token, "GET", path))
        history = world.ask(token, "GET", "fhir/Observation/_history?_count=500")
        assert "zqlabel" not in history.text
    assert world.ask(world.operator, "GET", place).status_code == 200


def test_nothing_of_the_other_record_was_changed(world):
    for type_ in TYPES.split():
        answered = world.ask(world.operator, "GET", f"fhir/{type_}/{BOB}-1", accept=FHIR)
        assert answered.status_code == 200, type_
        assert answered.json()["meta"]["versionId"] == "1", type_
    ghosts = world.ask(world.operator, "GET", f"fhir/Observation?_id={GHOST}-1,{GHOST}-2")
    assert ghosts.json()["total"] == 0
    assert FHIR in ghosts.headers["content-type"]

"""The black-box suite: our own server holds all that it claims, and a server that lies is found out."""

import json
import subprocess
import sys

import httpx
import pytest
from served import ROOT, Served

from conformance.suite.asked import NotHeld
from conformance.suite.report import ALL, run, text


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    server = Served(tmp_path_factory.mktemp("suite") / "data", auth="smart")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def token(served):
    asked = ["token", "--scope", "system/*.cruds", "--data", str(served.data)]
    command = [sys.executable, "-m", "fhir_server", *asked]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout.strip()


def test_our_own_server_holds_all_that_it_claims(served, token, size, record_property):
    findings = list(run(served.base, token=token, most=size(25, ALL)))
    report = text(findings)
    record_property("proof", f"black-box suite against ourselves: {report.splitlines()[-1]}")
    assert [f"{f.name}: {f.reason}" for f in findings if f.verdict != "passed"] == []
    assert len(findings) > 25


def test_what_the_suite_created_is_deleted_again(served, token):
    told = httpx.get(
        f"{served.base}/Patient?_summary=count", headers={"Authorization": f"Bearer {token}"}
    )
    assert told.json()["total"] == 0


def test_the_command_prints_a_report_and_tells_by_its_status(served, token):
    command = [sys.executable, "-m", "conformance.suite", served.base, "--token", token]
    told = subprocess.run([*command, "--most", "1"], capture_output=True, text=True, cwd=ROOT)
    assert told.returncode == 0, told.stdout
    assert "passed, 0 failed" in told.stdout
    nowhere = [sys.executable, "-m", "conformance.suite", "http://127.0.0.1:1/fhir"]
    told = subprocess.run(nowhere, capture_output=True, text=True, cwd=ROOT)
    assert (told.returncode, told.stdout) == (2, "")


# --- servers that are not what they say ---------------------------------------------------------------


def statement(**more):
    interactions = [{"code": c} for c in ("read", "create", "update", "search-type", "delete")]
    patient = {"type": "Patient", "interaction": interactions, **more}
    return {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": [patient]}],
    }


def answering(answer, **more):
    """Give the findings about a server that claims Patient and answers as `answer` says."""

    def respond(request):
        if request.url.path.endswith("/metadata") and "png" not in request.headers["accept"]:
            return httpx.Response(
                200, json=statement(**more), headers={"Content-Type": "application/fhir+json"}
            )
        return answer(request)

    found = run("http://test.example/fhir", transport=httpx.MockTransport(respond))
    return {finding.name: finding for finding in found}


def outcome(status):
    return httpx.Response(status, json={"resourceType": "OperationOutcome", "issue": []})


def test_a_server_that_only_fails_fails_what_it_claims_and_skips_the_rest():
    found = answering(lambda _: outcome(500))
    verdicts = {name: finding.verdict for name, finding in found.items()}
    assert verdicts["A read gives what was created, with an ETag of its version"] == "failed"
    assert verdicts["A transaction resolves its own links, and writes all or nothing"] == "skipped"
    assert (
        verdicts["An unknown parameter is refused where strict handling is asked for"] == "failed"
    )


def test_an_error_without_an_outcome_is_told():
    found = answering(lambda _: httpx.Response(404, text="no"))
    reason = found["A read of what never was is 404 with an OperationOutcome"].reason
    assert "without an OperationOutcome" in reason


def test_a_server_that_answers_what_it_does_not_claim_is_found_out():
    found = answering(lambda _: httpx.Response(200, json={"resourceType": "Bundle"}))
    name = "Types and operations that are not claimed are refused with an OperationOutcome"
    assert found[name].verdict == "failed"
    name = "Every interaction that is claimed of a type is answered, and the others are refused"
    assert "vread of Patient: 200" in found[name].reason


def test_a_profile_that_cannot_be_found_is_told():
    empty = {"resourceType": "Bundle", "type": "searchset", "link": []}
    found = answering(
        lambda _: httpx.Response(200, json=empty), supportedProfile=["urn:lost"]
    )  # fmt: skip
    finding = found["Profiles and operations that are claimed can be found by their URLs"]
    assert finding.verdict == "skipped"  # StructureDefinition is not claimed


def test_a_server_without_metadata_cannot_be_asked():
    transport = httpx.MockTransport(lambda _: httpx.Response(404, text=json.dumps({})))
    with pytest.raises(NotHeld):
        list(run("http://test.example/fhir", transport=transport))

"""hounsfield package, and validate with what is installed: here and over HTTP."""

import http.server
import json
import threading

import pytest
from fhir_package import PROFILE, SMALL, manifest, tgz

PACKAGE = "test.small#1.0.0"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.tgz"
    path.write_bytes(tgz({**SMALL, **manifest(dependencies={"other.guide": "1.0.0"})}))
    return path


@pytest.fixture
def patient(tmp_path):
    path = tmp_path / "patient.json"
    path.write_text(json.dumps({"resourceType": "Patient", "active": True}))
    return path


def test_a_package_is_added_listed_and_removed_in_a_data_folder(hounsfield, file):
    added = hounsfield("package", "add", file, "--data", "d")
    assert (added.status, PACKAGE in added.out) == (0, True)
    assert "other.guide#1.0.0, not installed" in added.err
    listed = hounsfield("package", "list", "--data", "d", "--json")
    (found,) = [one for one in json.loads(listed.out) if one["name"] == "test.small"]
    assert (found["version"], found["missing"]) == ("1.0.0", ["other.guide#1.0.0"])
    assert hounsfield("package", "remove", PACKAGE, "--data", "d").status == 0
    assert "test.small" not in hounsfield("package", "list", "--data", "d").out
    assert hounsfield("package", "remove", PACKAGE, "--data", "d").status == 1


def test_files_are_validated_by_a_profile_of_an_installed_package(hounsfield, file, patient):
    asked = ("validate", patient, "--profile", PROFILE, "--data", "d")
    unknown = hounsfield(*asked)
    assert (unknown.status, PROFILE in unknown.out) == (0, True)
    assert hounsfield("package", "add", file, "--data", "d").status == 0
    told = hounsfield(*asked, "--json")
    assert told.status == 1
    (error,) = [i for i in json.loads(told.out)["issue"] if i["severity"] == "error"]
    assert error["expression"] == ["Patient.name"]
    assert hounsfield("validate", patient, "--data", "d").status == 0


def test_shipped_profiles_need_no_data_folder(hounsfield, patient, tmp_path):
    own = "https://hounsfield.example/fhir/StructureDefinition/imaging-order"
    told = hounsfield("validate", patient, "--profile", own)
    assert (told.status, "Patient" in told.out) == (1, True)
    assert not (tmp_path / "hounsfield-data").exists()
    assert hounsfield("validate", tmp_path / "none.json").status == 2


def test_over_http_it_needs_a_token(hounsfield, served, file):
    told = hounsfield("package", "add", file, "--base", served.base)
    assert (told.status, told.out) == (1, "")
    minted = hounsfield("token", "--scope", "system/*.cruds", "--data", served.data)
    more = ("--base", served.base, "--token", minted.out.strip())
    assert PACKAGE in hounsfield("package", "add", file, *more).out
    assert PACKAGE in hounsfield("package", "list", *more).out
    assert hounsfield("package", "remove", "test.small", *more).status == 0


def test_a_package_is_fetched_and_only_so_much_of_it(hounsfield, file, monkeypatch):
    content = file.read_bytes()

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/small.tgz" else 404)
            self.end_headers()
            if self.path == "/small.tgz":
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        try:
            assert PACKAGE in hounsfield("package", "add", f"{base}/small.tgz", "--data", "d").out
            assert hounsfield("package", "add", f"{base}/none.tgz", "--data", "d").status == 1
            monkeypatch.setattr("conformance.packages.LARGEST", 10)
            told = hounsfield("package", "add", f"{base}/small.tgz", "--data", "d")
            assert (told.status, "larger than" in told.err) == (1, True)
        finally:
            server.shutdown()
            thread.join()


def test_what_is_no_package_is_refused_with_the_reason(hounsfield, patient):
    told = hounsfield("package", "add", patient, "--data", "d")
    assert (told.status, "no gzipped tar file" in told.err) == (1, True)
    assert hounsfield("package", "add", "none.tgz", "--data", "d").status == 1


def test_a_tenant_decides_about_claimed_profiles(hounsfield):
    assert hounsfield("tenant", "add", "north", "--data", "d").status == 0
    for choice in ("reject", "inherit"):
        told = hounsfield("tenant", "set", "north", "--claimed-profiles", choice, "--data", "d")
        assert (told.status, choice in told.out) == (0, True)
    other = hounsfield("tenant", "set", "none", "--claimed-profiles", "off", "--data", "d")
    assert other.status == 2

"""The reference validator's cases that bring definitions of their own: how often the verdicts agree."""

import json
import zipfile

import pytest
import us_core
from validator_cases import cases, disagreements

from conformance.profile import whole
from conformance.profile.run import failed
from conformance.validate import Validator
from resources import definitions
from resources.model import parse
from resources.outcome import FhirError
from resources.xml import from_xml

RECORDED = 73
RECORDED_BY_PROFILE = 44
UNKNOWN = "a profile, or a definition, that is not among the files: here a warning that names it"
LANGUAGES = "asks for languages and sources in narratives by extensions of R5"
LICENCE = "needs the content of {}, which is not shipped"
LEFT = {
    "res-inv-example-good": UNKNOWN,
    "de-address-example": UNKNOWN,
    "PulseOxBundle_25Oct2022": UNKNOWN,
    "xhtml-ctrl-no-lang-bad": LANGUAGES,
    "xhtml-ctrl-twob-lang-bad": LANGUAGES,
    "xhtml-ctrl-source1": LANGUAGES,
    "shc-cvx": LICENCE.format("CVX"),
    "sdoh-type-slice": LICENCE.format("LOINC (a display is wrong)"),
    "fixed-quantity-binding-observation-2": "R4's age-units are not among the value sets here",
    "patient-circle1-bad-linked1": "follows a reference to another file",
    "type-ref-unchecked": "does not look at the type that a reference names; we do (references.html)",
}
VALIDATOR = Validator(definitions.load())


def supporting(case):
    """Give the definitions that a case names, those in Bundles too."""
    manifest = case.manifest
    named = [*manifest.get("supporting", ()), *manifest.get("profiles", ())]
    named += manifest.get("profile", {}).get("supporting", ())
    source = manifest.get("profile", {}).get("source")
    held = {}
    for name in dict.fromkeys([*named, *([source] if source else [])]):
        if "://" not in name:
            held[name] = read(case, name)
    found = [resource for resource in held.values() if resource]
    inside = [e["resource"] for one in found for e in one.get("entry", ()) if "resource" in e]
    loose = [one for one in (*found, *inside) if isinstance(one.get("url"), str)]
    own = held.get(source) or {}
    return loose, own.get("url", source or "")


def read(case, name):
    try:
        raw = case.read(name)
        return parse(raw) if name.endswith(".json") else from_xml(raw)
    except (FhirError, KeyError, FileNotFoundError):
        return None


def check(case, resource):
    """Validate with what the case brings."""
    checks = us_core.checks(loose=supporting(case)[0])
    return whole.issues(resource, VALIDATOR.check, checks)


@pytest.fixture(scope="module")
def found(corpus):
    return list(cases(corpus, "with-supporting"))


def test_verdicts_with_supporting_definitions(found, record_property):
    left = {case.name for case in disagreements(found, check)}
    agreed = len(found) - len(left)
    record_property(
        "proof", f"reference validator, cases with definitions: {agreed} of {len(found)} agree"
    )
    assert agreed >= RECORDED


def test_verdicts_by_the_profile_of_a_case(corpus, found, record_property):
    expected = profile_errors(corpus)
    asked = [case for case in found if expected.get(case.name) is not None]
    left = []
    for case in asked:
        loose, url = supporting(case)
        checks = us_core.checks(loose=loose)
        resource = case.resource()
        wrong = failed(whole.issues(resource, VALIDATOR.check, checks, url))
        if wrong != bool(expected[case.name]):
            left.append(case.name)
    agreed = len(asked) - len(left)
    record_property(
        "proof", f"reference validator, cases by a profile: {agreed} of {len(asked)} agree"
    )
    assert set(left) <= LEFT.keys()
    assert agreed >= RECORDED_BY_PROFILE


def profile_errors(corpus):
    """Give how many errors the reference validator finds by the profile of a case, by its name."""
    with zipfile.ZipFile(corpus / "r4" / "validator-cases-dev.zip") as archive:
        told = json.loads(archive.read("cases.json"))
    return {case["name"]: case.get("profile_expected_error_count") for case in told}

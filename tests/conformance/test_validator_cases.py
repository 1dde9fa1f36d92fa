"""The reference validator's cases that need R4 only: the verdicts agree, but for what is listed by name."""

import pytest
from validator_cases import cases, disagreements

from conformance.advice import Advice
from conformance.canonicals import Canonicals, shipped
from conformance.checks import Policy
from conformance.implied_profiles import implied
from conformance.profile.checked import ProfileChecks, claimed
from conformance.terminology.held import terminology
from conformance.validate import Validator
from resources import definitions

RECORDED = 107
RECORDED_OF_ALL_BUT_LISTED = 0.98
SWITCH = "asks for a switch of that validator: {}"
LICENCE = "needs the content of {}, which is not shipped"
# what no validator of R4 alone can say
NOT_ASKED = {
    "json-comments-1-yes": SWITCH.format("comments in JSON are allowed"),
    "contained-resource-bad-id-ignore": SWITCH.format("contained resources are not checked"),
    "list-bad-reference": SWITCH.format("every reference is taken for one of a server"),
    "parameters-reference-bad": SWITCH.format("references are followed on a server"),
    "xver-valueset-4_5": "knows an extension of R5, where unknown extensions of HL7 are errors here",
    "bundle-id-5": LICENCE.format("CVX (a display is wrong)"),
    "cvx": LICENCE.format("CVX (a display is wrong)"),
    "ips-nz-pj": LICENCE.format("LOINC (displays are wrong)"),
    "obs-temp-bad": LICENCE.format("SNOMED CT (its codes of vital signs)"),
    "uk-msg": LICENCE.format("SNOMED CT (displays are wrong)"),
}
# where we read R4 otherwise
OTHERWISE = {
    "allergy": "a code that is absent and says why by an extension: R4 lets a primitive have no value",
    "mr-m-simple-nossystem": "a relative canonical, which many of HL7's own R4 examples have too",
}


@pytest.fixture(scope="module")
def check():
    """What $validate says, with HL7's unknown extensions as errors, as that validator has it."""
    known, canonicals = definitions.load(), Canonicals(shipped())
    validator = Validator(known)
    sharp = Validator(known, Policy(markup="refuse"))
    advice = Advice(known, terminology(), canonicals.structure, unknown="error")
    profiles = ProfileChecks(known, canonicals)

    def checked(case, resource):
        of_case = sharp if case.manifest.get("security-checks") else validator
        found = of_case.check(resource)
        if any(issue.severity == "error" for issue in found):
            return found
        named = (*claimed(resource), *implied(resource))
        return (*found, *advice.issues(resource), *profiles.check(resource, named))

    return checked


def test_the_verdicts_agree_with_the_reference_validator(corpus, check, record_property):
    found = list(cases(corpus, "base"))
    left = {case.name for case in disagreements(found, check)}
    assert left == NOT_ASKED.keys() | OTHERWISE.keys()
    agreed, asked = len(found) - len(left), len(found) - len(NOT_ASKED)
    record_property(
        "proof",
        f"reference validator, cases of R4 alone: {agreed} of {len(found)} verdicts agree, "
        f"{agreed} of the {asked} that need no switch and no licensed content",
    )
    assert agreed >= RECORDED
    assert agreed / asked >= RECORDED_OF_ALL_BUT_LISTED


def test_nothing_that_is_right_is_refused(corpus, check):
    found = [case for case in cases(corpus, "base") if not case.wrong]
    refused = {case.name for case in disagreements(found, check)}
    assert refused <= NOT_ASKED.keys()
    assert len(found) > 50

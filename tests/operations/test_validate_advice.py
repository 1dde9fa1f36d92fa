"""$validate tells more than refuses a write; a write tells its warnings where Prefer asks."""


def told(outcome):
    return {(issue["severity"], *issue.get("expression", ())) for issue in outcome["issue"]}


CONTRACT = {
    "resourceType": "Contract",
    "legalState": {
        "coding": [{"system": "http://hl7.org/fhir/contract-legalstate", "code": "nothing"}]
    },
}
FEVER = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]},
}


async def test_a_code_that_its_system_does_not_have_is_told(world):
    found = told(await world.give("POST", "Contract/$validate", CONTRACT))
    assert ("error", "Contract.legalState.coding[0].code") in found
    assert ("warning", "Contract") in found  # best practice: a narrative


async def test_a_vital_sign_is_held_to_its_profile(world):
    found = told(await world.give("POST", "Observation/$validate", FEVER))
    assert ("error", "Observation.subject") in found


async def test_what_breaks_an_invariant_is_refused_and_a_warning_is_told_where_asked(world):
    wrong = {"resourceType": "Patient", "contact": [{"gender": "male"}]}
    refused = await world.call("POST", "Patient", wrong)
    assert refused.status == 422
    assert b"(pat-1)" in refused.body
    right = {"resourceType": "Patient", "active": True}
    stored = await world.call("POST", "Patient", right, prefer="return=OperationOutcome")
    assert stored.status == 201
    assert b"(dom-6)" in stored.body

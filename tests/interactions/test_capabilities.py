"""GET metadata: modes, parts, ETag; the statements are true and valid."""

import json

import pytest

from conformance.validate import Validator
from fhir_server.app import installation
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import load
from resources import definitions
from resources.outcome import Invalid, NotSupported


@pytest.fixture
async def ask(tmp_path):
    """Asks an installation for its metadata."""
    flags = {"data": str(tmp_path), "auth": "open", "conditional_delete": "multiple"}
    settings, _ = load(flags, {}, None)
    async with installation(settings, "http://x") as house:

        async def asked(*query, **headers):
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            request = FhirRequest("GET", "metadata", tuple(query), sent)
            return await dispatch(house.ours("default"), request)

        yield asked


async def test_each_mode_gives_a_valid_statement(ask):
    validator = Validator(definitions.load())
    for mode in ("full", "normative", "terminology"):
        statement = json.loads((await ask(("mode", mode))).body)
        errors = [i for i in validator.check(statement) if i.severity in {"error", "fatal"}]
        assert errors == [], mode


async def test_normative_leaves_out_what_is_for_trial_use(ask):
    full = json.loads((await ask()).body)
    normative = json.loads((await ask(("mode", "normative"))).body)
    assert full["rest"][0]["resource"][0]["conditionalDelete"] == "multiple"
    assert "conditionalDelete" not in normative["rest"][0]["resource"][0]
    assert normative["rest"][0]["resource"][0]["searchParam"]


async def test_terminology_claims_no_operation_that_is_not_there(ask):
    told = json.loads((await ask(("mode", "terminology"))).body)
    full = json.loads((await ask()).body)
    offered = {
        o["name"]
        for place in [full["rest"][0], *full["rest"][0]["resource"]]
        for o in place.get("operation", [])
    }
    claims = {
        "expansion": "expand",
        "validateCode": "validate-code",
        "translation": "translate",
        "closure": "closure",
    }
    assert {e for e in claims if e in told} == {e for e, code in claims.items() if code in offered}
    assert told["resourceType"] == "TerminologyCapabilities"


async def test_elements_and_summary_give_a_part(ask):
    part = json.loads((await ask(("_elements", "fhirVersion,software"))).body)
    assert part["fhirVersion"] == "4.0.1"
    assert "rest" not in part
    summary = await ask(("_summary", "true"))
    assert json.loads(summary.body)["meta"]["tag"][0]["code"] == "SUBSETTED"


async def test_the_etag_saves_a_second_reading(ask):
    first = await ask()
    again = await ask(if_none_match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert (await ask(("mode", "normative"), if_none_match=first.headers["ETag"])).status == 200


async def test_unknown_modes_and_parameters_are_refused(ask):
    with pytest.raises(Invalid):
        await ask(("mode", "sideways"))
    with pytest.raises(NotSupported):
        await ask(("colour", "blue"))

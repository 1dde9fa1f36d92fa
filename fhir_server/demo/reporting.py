"""The end of a visit: the radiologist signs the report, and its charge and claim come of it."""

from fhir_server.demo.rest import expect, reference
from fhir_server.demo.step import Notes, require
from fhir_server.demo.story import Story
from resources.model import Resource

_CONCLUSION = "Demonstration: the measures were seen together with the images."


async def report(story: Story, notes: Notes) -> None:
    """The preliminary report is signed by the radiologist and becomes final.

    One that an earlier demo day signed is final already, and must be of the same signer.
    """
    fhir, day = story.day.reader, story.day
    found = await _report(story, notes)
    if found["status"] == "preliminary":
        place = f"{reference(found)}/$sign"
        signed = await fhir.operate(place, {"conclusion": _CONCLUSION})
        expect(signed, 200)
        notes.url(f"{fhir.base}/{place}")
        notes.facts["signed"] = "now"
    else:
        notes.facts["signed"] = "before"
    final = await fhir.read(reference(found), notes)
    require(final["status"] == "final", f"the report is {final['status']}")
    signers = [each["reference"] for each in final.get("resultsInterpreter", ())]
    require(signers == [day.practitioner], "the report has another signer")
    require(final.get("conclusion") == _CONCLUSION, "the report has another conclusion")
    story.report = reference(final)
    notes.facts |= {"report": story.report, "status": "final", "signer": day.practitioner}


async def charge(story: Story, notes: Notes) -> None:
    """ChargeItem and Claim are there and refer to report, patient, study and visit."""
    fhir, day = story.day.workflow, story.day
    item = await fhir.only("ChargeItem", notes, service=story.study)
    reports = [each["reference"] for each in item.get("supportingInformation", ())]
    require(story.report in reports, "the ChargeItem does not name the report")
    require(item["subject"]["reference"] == story.patient, "the ChargeItem is another Patient's")
    require(item["context"]["reference"] == story.encounter, "the ChargeItem is of another visit")
    number = item["identifier"][0]
    token = f"{number['system']}|{number['value']}"
    claim = await fhir.only("Claim", notes, identifier=token)
    require(claim["patient"]["reference"] == story.patient, "the Claim is another Patient's")
    require(claim["provider"]["reference"] == day.practitioner, "the Claim is another provider's")
    coded = [each["productOrService"]["coding"][0]["code"] for each in claim["item"]]
    require(coded == [story.case.order[0]], "the Claim is for something else than was ordered")
    notes.facts |= {"charge": reference(item), "claim": reference(claim)}
    notes.facts |= {"charge_status": item["status"], "claim_status": claim["status"]}
    notes.facts["coverage"] = claim["insurance"][0]["coverage"]["reference"]


async def _report(story: Story, notes: Notes) -> Resource:
    """Give the study's one report: over the order, with the model's results and no others."""
    fhir = story.day.reader
    found = await fhir.search("DiagnosticReport", notes, based_on=story.order)
    wanted = {reference(each) for each in story.observations}
    ours = [
        each for each in found if {one["reference"] for one in each.get("result", ())} == wanted
    ]
    require(len(ours) == 1, f"{len(ours)} reports have the model's Observations as their results")
    studies = [each.get("reference") for each in ours[0].get("imagingStudy", ())]
    require(studies == [story.study], "the report is of another study")
    return ours[0]

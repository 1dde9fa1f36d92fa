"""A story follows references from the order to the claim, and says who made what."""

import imaging_story
import pytest
from lxml import html
from pages_world import limited_to, said


async def told(world, path="/stories/s1"):
    response = await world.http.get(path)
    assert response.status_code == 200
    return html.fromstring(response.content)


def section(tree, name):
    (found,) = tree.xpath(f"//section[@aria-labelledby='{name}']")
    return said(found)


async def test_the_order_is_told_with_its_numbers_and_who_asked(world):
    order = section(await told(world), "order")
    for words in (
        "CT chest without contrast active",
        "Placer order number P-o1 North Clinic",
        "Filler order number F-o1 North Clinic",
        "Accession number A-o1 North Clinic",
        "Requested by Dr Ada Okafor",
        "Ordered 4 March 2026, 08:15 UTC+01:00",
        "Reason Dyspnoea on exertion",
    ):
        assert words in order


async def test_the_study_has_a_picture_of_its_own_pixels(world):
    tree = await told(world)
    assert "Modality Computed tomography" in section(tree, "study")
    (picture,) = tree.xpath("//section[@aria-labelledby='study']//img")
    assert picture.get("src") == "/stories/s1/series/1.2.840.1.1/picture.png"
    response = await world.http.get(picture.get("src"))
    assert response.headers["content-type"] == "image/png"
    assert response.content.startswith(b"\x89PNG")
    assert response.headers["cache-control"] == "no-store"
    assert world.rendered == [("1.2.840.1", "1.2.840.1.1", 640)]


async def test_findings_have_values_units_and_their_maker(world):
    findings = section(await told(world), "findings")
    assert "Lung volume Lung structure 5312 cm³ UCUM cm3" in findings
    assert "ct-lung-measures version 1.0.0" in findings
    assert "not by a clinician. Preliminary until a person has reviewed it." in findings
    assert "sha256" in findings


async def test_a_trained_model_is_marked_as_ai_and_a_program_as_software(world):
    ai = (await told(world, "/stories/s2")).xpath("//article[contains(@class,'group ai')]")
    assert [said(a)[:23] for a in ai] == ["Brain volume on T1 MR b"]
    assert "AI preliminary Made by AI, not by a clinician." in said(ai[0])
    tree = await told(world)
    assert not tree.xpath("//article[contains(@class,'group ai')]")
    assert (
        len(
            tree.xpath(
                "//section[@aria-labelledby='findings']//article[contains(@class,'software')]"
            )
        )
        == 2
    )


async def test_findings_about_the_body_go_before_those_about_the_images(world):
    findings = section(await told(world), "findings")
    assert findings.index("Lung measures on chest CT") < findings.index("Technical image quality")


async def test_what_is_out_of_the_ordinary_comes_first_and_what_is_absent_says_why(world):
    tree = await told(world)
    rows = tree.xpath("//section[@aria-labelledby='findings']//article[2]//tbody/tr")
    texts = [said(row) for row in rows]
    assert texts[0] == "Slices are evenly spaced no Abnormal"
    assert "Signal-to-noise ratio no value: unknown" in texts


async def test_the_drawn_mask_stands_beside_the_findings_of_the_model_that_drew_it(world):
    tree = await told(world)
    (picture,) = tree.xpath("//section[@aria-labelledby='findings']//article[1]//img")
    assert picture.get("alt") == "Lungs"
    response = await world.http.get(picture.get("src"))
    assert response.content == imaging_story.png(shade=10)


async def test_the_mask_that_a_model_s_result_carries_is_shown(world):
    tree = await told(world, "/stories/s2")
    (picture,) = tree.xpath("//section[@aria-labelledby='findings']//article[1]//img")
    assert picture.get("alt").startswith("Mask over the image")
    response = await world.http.get(picture.get("src"))
    assert response.content == imaging_story.png(shade=200)


async def test_a_picture_of_nobody_s_stands_beside_the_study(world):
    for resource in imaging_story.drawing("draw", "Patient/ann", "s1"):
        await world.put(resource)
    tree = await told(world)
    assert len(tree.xpath("//section[@aria-labelledby='study']//img")) == 2
    assert not tree.xpath("//section[@aria-labelledby='findings']//img")


async def test_a_picture_can_come_inside_media_that_a_report_links(world):
    import base64

    data = base64.b64encode(imaging_story.png(shade=77)).decode()
    await world.put(
        {
            "resourceType": "Media",
            "id": "m1",
            "status": "completed",
            "subject": {"reference": "Patient/ann"},
            "content": {"contentType": "image/png", "data": data, "title": "Key image"},
        }
    )
    report = await world.only("DiagnosticReport?status=final")
    await world.put({**report, "media": [{"link": {"reference": "Media/m1"}}]})
    (picture,) = (await told(world)).xpath("//img[@alt='Key image']")
    response = await world.http.get(picture.get("src"))
    assert response.content == imaging_story.png(shade=77)


async def test_the_report_tells_who_signed_and_software_s_own_is_marked(world):
    report = section(await told(world), "report")
    assert "final No acute finding. Signed by Dr Ada Okafor Issued 4 March 2026" in report
    assert "Software preliminary Written by software; no clinician has signed it." in report


async def test_the_charge_and_the_claim_follow_the_signed_report(world):
    charge = section(await told(world), "charge")
    assert "Charge: CT chest without contrast billable Code LOINC 24627-2" in charge
    assert "Claim: CT chest without contrast draft Kind professional" in charge
    assert "Total not priced" in charge


async def test_each_chapter_links_its_resources_readably_and_as_json(world):
    links = set((await told(world)).xpath("//main//a/@href"))
    for place in ("ServiceRequest/o1", "ImagingStudy/s1"):
        assert {f"/resources/{place}", f"/resources/{place}/json"} <= links
    for type_ in ("Observation", "Device", "DiagnosticReport", "ChargeItem", "Claim"):
        assert any(link.startswith(f"/resources/{type_}/") for link in links)


async def test_a_story_that_has_only_a_study_says_what_is_not_there_yet(empty):
    await empty.put(imaging_story.patient("ann"))
    await empty.put(imaging_story.study("s9", "Patient/ann", uid="1.2.9"))
    tree = await told(empty, "/stories/s9")
    assert "No order that you may see belongs to this study" in section(tree, "order")
    assert "Nothing has been measured" in section(tree, "findings")
    assert "There is no report" in section(tree, "report")
    assert "Nothing has been charged" in section(tree, "charge")


async def test_work_that_failed_is_told_with_its_reason(world):
    task = {
        "resourceType": "Task",
        "id": "t1",
        "status": "failed",
        "intent": "order",
        "code": {"text": "Run an imaging model on a study"},
        "statusReason": {"text": "Slices are missing"},
        "focus": {"reference": "ImagingStudy/s1"},
        "for": {"reference": "Patient/ann"},
    }
    await world.put(task)
    assert "Slices are missing" in section(await told(world), "findings")
    await world.put({**task, "status": "completed"})
    assert "Run an imaging model" not in section(await told(world), "findings")


async def test_a_report_of_another_study_of_the_same_order_is_not_told(world):
    other = {
        "resourceType": "DiagnosticReport",
        "id": "other",
        "status": "final",
        "code": {"text": "Another study"},
        "subject": {"reference": "Patient/ann"},
        "basedOn": [{"reference": "ServiceRequest/o1"}],
        "imagingStudy": [{"reference": "ImagingStudy/s2"}],
    }
    await world.put(other)
    assert "Another study" not in section(await told(world), "report")
    await world.put({**other, "imagingStudy": [{"reference": "ImagingStudy/s1"}]})
    assert "Another study" in section(await told(world), "report")


async def test_a_person_s_observation_is_not_marked_as_software_s(world):
    await world.put(
        {
            "resourceType": "Observation",
            "id": "seen",
            "status": "final",
            "code": {"text": "Nodule"},
            "subject": {"reference": "Patient/ann"},
            "performer": [{"reference": "Practitioner/d1"}],
            "derivedFrom": [{"reference": "ImagingStudy/s1"}],
            "valueString": "4 mm, right upper lobe",
        }
    )
    (group,) = (await told(world)).xpath("//article[contains(@class,'people')]")
    words = said(group)
    assert words.startswith("Clinicians final")
    assert "not by a clinician" not in words


async def test_software_is_named_even_where_its_device_is_out_of_reach(world):
    world.log_in(limited_to("ann"))
    findings = section(await told(world), "findings")
    assert "ct-lung-measures 1.0.0: Thresholds in HU" in findings
    assert "Computed by software, not by a clinician." in findings


async def test_a_binary_is_shown_only_to_whom_its_security_context_is(world):
    """A document of one's own that points to another's picture does not open it."""
    binary, document = imaging_story.drawing("other", "Patient/bo", "s2")
    await world.put(binary)
    mine = {**document, "id": "mine", "subject": {"reference": "Patient/ann"}}
    mine["context"] = {"related": [{"reference": "ImagingStudy/s1"}]}
    await world.put(mine)
    world.log_in(limited_to("ann"))
    own = await world.http.get("/stories/s1/documents/DocumentReference/draw/0")
    assert own.status_code == 200
    other = await world.http.get("/stories/s1/documents/DocumentReference/mine/0")
    assert other.status_code == 404


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml"])
async def test_only_raster_pictures_are_served_from_documents(world, media_type):
    binary, document = imaging_story.drawing("draw", "Patient/ann", "s1")
    await world.put({**binary, "contentType": media_type})
    response = await world.http.get("/stories/s1/documents/DocumentReference/draw/0")
    assert response.status_code == 404
    document["content"][0]["attachment"]["contentType"] = media_type
    await world.put(document)
    assert not (await told(world)).xpath("//img[contains(@src,'documents')]")


async def test_a_series_that_has_no_picture_is_404(world):
    study = imaging_story.study("s3", "Patient/ann", uid="1.2.404")
    study["series"][0]["uid"] = "1.2.404.404"
    await world.put(study)
    response = await world.http.get("/stories/s3/series/1.2.404.404/picture.png")
    assert response.status_code == 404


async def test_series_without_pixels_get_no_picture(world):
    study = imaging_story.study("s3", "Patient/ann", uid="1.2.3", modality="SR")
    await world.put(study)
    assert not (await told(world, "/stories/s3")).xpath("//section//img")
    response = await world.http.get("/stories/s3/series/1.2.3.1/picture.png")
    assert response.status_code == 404

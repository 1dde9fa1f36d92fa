"""Every page: well-formed, escaped, without scripts, within the access of whoever looks at it."""

import itertools
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree
from pages_world import SCRIPT, limited_to, said

from fhir_server.access import Access

PAGES = (
    "/",
    "/stories",
    "/stories?patient=ann",
    "/stories/s1",
    "/stories/s2",
    "/resources",
    "/resources/Patient",
    "/resources/Patient/bo",
    "/resources/Patient/bo/json",
    "/resources/Patient/bo/history",
    "/resources/Patient/bo/history/1",
    "/resources/ImagingStudy/s1",
    "/resources/Nonsense/1",
)


def parsed(response):
    """The page's tree; whatever the parser had to mend fails the test."""
    parser = etree.HTMLParser(recover=True, encoding="utf-8")
    tree = etree.fromstring(response.content, parser)
    mended = [
        e for e in parser.error_log if e.type_name != "HTML_UNKNOWN_TAG"
    ]  # HTML 5 is new to it
    assert mended == []
    return tree


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_well_formed_and_accessible(world, path):
    tree = parsed(await world.http.get(path))
    assert tree.get("lang") == "en"
    assert len(tree.findall(".//h1")) == 1
    assert len(tree.findall(".//main")) == len(tree.findall(".//header[@class='bar']")) == 1
    levels = [int(e.tag[1]) for e in tree.iter() if re.fullmatch(r"h[1-6]", str(e.tag))]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [e.get("id") for e in tree.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    named = {name for e in tree.iter() for name in (e.get("aria-labelledby") or "").split()}
    assert named <= set(ids)
    assert all(e.get("alt") is not None for e in tree.iter("img"))
    assert all(e.get("aria-label") for e in tree.iter("nav"))


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_has_no_scripts_and_takes_nothing_from_elsewhere(world, path):
    response = await world.http.get(path)
    tree = parsed(response)
    attributes = [(name, value) for e in tree.iter() for name, value in e.attrib.items()]
    assert not list(tree.iter("script", "style", "iframe", "object", "embed"))
    assert not [name for name, _ in attributes if name.startswith("on") or name == "style"]
    addresses = [value for name, value in attributes if name in {"href", "src", "action"}]
    assert all(value.startswith(("/", "#")) and not value.startswith("//") for value in addresses)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert "script-src 'none'" in policy
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
async def test_every_link_of_a_page_leads_somewhere(world, path):
    tree = parsed(await world.http.get(path))
    for element in tree.iter("a", "img", "link"):
        target = element.get("href") or element.get("src")
        if target.startswith("#"):
            assert tree.xpath("//*[@id=$id]", id=target[1:])
        elif not target.startswith("/auth/"):
            assert (await world.http.get(target)).status_code == 200, target


@pytest.mark.parametrize("path", PAGES)
async def test_a_title_tells_nothing_of_a_person(world, path):
    title = parsed(await world.http.get(path)).findtext(".//title")
    assert title.endswith(" · Hounsfield")
    assert not re.search("Ann|Meridian|script|CT|MRN", title)


async def test_a_script_in_a_name_is_said(world):
    for path in ("/", "/stories/s2", "/resources/Patient/bo", "/resources/Patient/bo/json"):
        response = await world.http.get(path)
        assert b"<script" not in response.content.lower()
        assert SCRIPT in said(parsed(response))


async def test_the_overview_tells_what_runs_and_what_is_missing(world):
    told = said(parsed(await world.http.get("/")))
    for words in (
        "Resource store Running",
        "DICOM listener (DIMSE) Off",
        "Everything that is switched on is running",
        "Lung measures on chest CT ct-lung-measures 1.0.0 Installed",
        "Not installed The weights model.pt are not installed.",
        "Patient 2",
        "ImagingStudy 2",
    ):
        assert words in told


async def test_an_overview_of_nothing_says_how_studies_come(empty):
    assert "No study has arrived yet" in said(parsed(await empty.http.get("/")))


async def test_stories_come_newest_first_and_by_patient(world):
    tree = parsed(await world.http.get("/stories"))
    assert tree.xpath("//ul[@class='stories']//a/@href") == ["/stories/s2", "/stories/s1"]
    tree = parsed(await world.http.get("/stories?patient=ann"))
    assert tree.xpath("//ul[@class='stories']//a/@href") == ["/stories/s1"]


async def test_stories_go_on_over_pages(empty, monkeypatch):
    import imaging_story

    from fhir_server.pages import story_pages

    monkeypatch.setattr(story_pages, "PAGE", 2)
    await empty.put(imaging_story.patient("ann"))
    for n in range(3):
        await empty.put(imaging_story.study(f"s{n}", "Patient/ann", uid=f"1.2.{n}"))
    first = parsed(await empty.http.get("/stories"))
    (older,) = first.xpath("//a[@rel='next']/@href")
    second = parsed(await empty.http.get(older))
    assert second.xpath("//ul[@class='stories']//a/@href") == ["/stories/s0"]
    assert not second.xpath("//a[@rel='next']")


async def test_without_a_session_every_page_asks_for_the_login_and_comes_back(world):
    world.log_in(None)
    for path in (
        *PAGES,
        "/stories/s1/series/1.2.840.1.1/picture.png",
        "/resources/Patient/ann.json",
        "/stories/s1/documents/DocumentReference/draw/0",
    ):
        response = await world.http.get(path)
        assert response.status_code == 303
        location = urlsplit(response.headers["location"])
        assert location.path == "/auth/login"
        assert parse_qs(location.query)["next"] == [path]
        assert response.headers["cache-control"] == "no-store"


async def test_the_style_needs_no_login(world):
    world.log_in(None)
    assert (await world.http.get("/static/pages.css")).status_code == 200
    assert (await world.http.get("/static/../routes.py")).status_code == 404


async def test_a_patient_sees_her_own_story_alone(world):
    world.log_in(limited_to("ann"))
    tree = parsed(await world.http.get("/"))
    assert tree.xpath("//ul[@class='stories']//a/@href") == ["/stories/s1"]
    assert "Patient 1" in said(tree)
    assert "ImagingStudy 1" in said(tree)
    story = await world.http.get("/stories/s1")
    assert story.status_code == 200
    assert "5312" in said(parsed(story))


@pytest.mark.parametrize(
    "path",
    [
        "/stories/s2",
        "/stories/s2/series/1.2.840.2.1/picture.png",
        "/resources/Patient/bo",
        "/resources/Patient/bo.json",
        "/resources/Patient/bo/json",
        "/resources/Patient/bo/history",
        "/resources/Patient/bo/history/1",
        "/resources/ServiceRequest/o2",
    ],
)
async def test_a_patient_does_not_find_what_is_another_s(world, path):
    world.log_in(limited_to("ann"))
    response = await world.http.get(path)
    assert response.status_code == 404
    assert "Nothing here" in said(parsed(response))
    assert world.rendered == []


async def test_someone_without_scopes_sees_no_resources(world):
    world.log_in(Access("nobody"))
    told = said(parsed(await world.http.get("/")))
    assert "No study has arrived" in told
    assert "Patient" not in told
    assert (await world.http.get("/stories/s1")).status_code == 403
    assert (await world.http.get("/resources/Patient/ann")).status_code == 403


async def test_whoever_is_logged_in_is_told_with_the_way_out(world):
    world.log_in(limited_to("ann"))
    tree = parsed(await world.http.get("/"))
    assert said(tree.find(".//p[@class='who']")) == "Ann Meridian Log out"
    assert tree.xpath("//p[@class='who']/a/@href") == ["/auth/logout"]


@pytest.mark.parametrize(
    "path",
    [
        "/resources/Patient/nobody",
        "/resources/Nonsense",
        "/resources/Patient/$export",
        "/resources/Patient/_history",
        "/resources/Patient/a%3Fb",
        "/resources/ImagingStudy/s1/history/99",
        "/stories/nobody",
        "/stories/$infer",
        "/stories/s1/series/9.9.9/picture.png",
        "/stories/s1/documents/Patient/ann/0",
        "/stories/s1/documents/DocumentReference/draw/7",
    ],
)
async def test_what_is_not_there_is_a_page_of_404(world, path):
    response = await world.http.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "To the overview" in said(parsed(response))


async def test_a_deleted_resource_is_a_page_of_410_and_keeps_its_history(world):
    await world.give("DELETE", "ServiceRequest/o2")
    assert (await world.http.get("/resources/ServiceRequest/o2")).status_code == 410
    told = said(parsed(await world.http.get("/resources/ServiceRequest/o2/history")))
    assert "Version 2 deleted" in told
    assert "Version 1" in told


async def test_a_forged_page_is_a_page_of_400(world):
    assert (await world.http.get("/stories?after=forged")).status_code == 400


async def test_the_json_alone_is_json_as_stored(world):
    response = await world.http.get("/resources/Patient/bo.json")
    assert response.headers["content-type"].startswith("application/json")
    assert response.json()["name"][0]["family"] == SCRIPT
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_resource_tells_where_it_comes_from(world):
    lungs = await world.only("Observation?code=lung-volume")
    tree = parsed(await world.http.get(f"/resources/Observation/{lungs['id']}"))
    assert "Automated image analysis" in said(tree)
    assert tree.xpath("//section[@aria-labelledby='origins']//a[contains(@href,'Provenance/')]")


async def test_pages_take_get_alone(world):
    assert (await world.http.post("/stories/s1")).status_code == 405
    assert (await world.http.head("/stories/s1")).status_code == 200

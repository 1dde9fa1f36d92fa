"""The pages of stories: their list, one story, and its pictures."""

from starlette.responses import Response

from fhir_server.pages import findings, look, pictures, start, titles
from fhir_server.pages import story as stories_
from fhir_server.pages.chapters import Chapters
from fhir_server.pages.visit import Visit
from resources.outcome import NotFound

PAGE = 24
_SIDES = {"small": 192}
_SIDE = 640
_DOCUMENTS = frozenset({"DocumentReference", "Media"})


async def stories(visit: Visit) -> Response:
    """Show the stories, newest first, all or one patient's."""
    cursor, patient = visit.asked("after"), visit.asked("patient")
    found, following = await start.stories(visit.reader, cursor=cursor, patient=patient, count=PAGE)
    return await visit.page(
        "stories", stories=found, following=following, patient=patient, first=not cursor
    )


async def story(visit: Visit) -> Response:
    """Show one study's story from its order to its claim."""
    gathered = await stories_.gather(visit.reader, visit.id())
    groups = findings.groups(gathered, visit.reader)
    chapters = Chapters(gathered, visit.reader)
    return await visit.page(
        "story",
        study_id=visit.id(),
        study_title=titles.study(gathered.study),
        patient=chapters.patient(),
        orders=chapters.orders(),
        study=chapters.study(),
        pictures=chapters.from_series() + chapters.from_documents(None, groups),
        groups=[
            (group, chapters.from_documents(group.device or "none", groups)) for group in groups
        ],
        reports=chapters.reports(),
        charges=chapters.charges(),
        tasks=chapters.tasks(),
    )


async def series_picture(visit: Visit) -> Response:
    """Give the picture of a series of a study that the person may see."""
    study = await visit.reader.read(f"ImagingStudy/{visit.id()}")
    series = str(visit.request.path_params["series"])
    if series not in {each["uid"] for each in pictures.pictured(study)}:
        raise NotFound("The study has no such series")
    side = _SIDES.get(visit.asked("size"), _SIDE)
    picture = await visit.ports.render(visit.access, pictures.study_uid(study), series, side)
    if picture is None:
        raise NotFound("The archive has no picture of this series")
    return look.content(picture, "image/png")


async def document_picture(visit: Visit) -> Response:
    """Give a picture that a document of a study that the person may see carries."""
    type_ = visit.type()
    if type_ not in _DOCUMENTS:
        raise NotFound("Resources of this type carry no pictures")
    document = await visit.reader.read(f"{type_}/{visit.id('document')}")
    number = int(visit.request.path_params["number"])
    found = next((each for each in pictures.attached(document) if each.number == number), None)
    if found is None:
        raise NotFound("The document has no such picture")
    return look.content(*await pictures.content(visit.reader, found))

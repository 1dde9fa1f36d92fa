"""The pages of resources: readable, as JSON, their history, and lists of a type."""

from starlette.responses import Response

from fhir_server.pages import listing, look, reading, start, titles, words
from fhir_server.pages.visit import Visit
from resources import model
from resources.model import Resource

PAGE = 50
_WITH_STORIES = {"Patient": "/stories?patient={}", "ImagingStudy": "/stories/{}"}
_METHODS = {"POST": "created", "PUT": "written", "PATCH": "patched", "DELETE": "deleted"}


async def types(visit: Visit) -> Response:
    """Show how many resources of the main types there are."""
    return await visit.page("types", counts=await start.counts(visit.reader))


async def instances(visit: Visit) -> Response:
    """Show the resources of a type, newest first."""
    type_, cursor = visit.type(), visit.asked("after")
    query = [("_sort", "-_lastUpdated"), ("_count", str(PAGE))]
    query += [("_cursor", cursor)] if cursor else []
    found = await visit.reader.search(type_, *query)
    rows = [
        (f"/resources/{type_}/{each['id']}", titles.title(each), *_meta(each))
        for each in found.matches
    ]
    return await visit.page("instances", type=type_, rows=rows, following=found.following)


async def resource(visit: Visit) -> Response:
    """Show the current version in words, and where it comes from."""
    type_, id_ = visit.type(), visit.id()
    found = await visit.reader.read(f"{type_}/{id_}")
    sources = await visit.reader.search(
        "Provenance", ("target", f"{type_}/{id_}"), ("_count", "20")
    )
    origins = [
        (
            f"/resources/Provenance/{each['id']}",
            titles.title(each),
            words.moment(each.get("recorded")),
        )
        for each in sources.matches
    ]
    return await _shown(visit, found, tab="readable", origins=origins)


async def version(visit: Visit) -> Response:
    """Show one past version in words."""
    number = visit.request.path_params["version"]
    found = await visit.reader.read(f"{visit.type()}/{visit.id()}/_history/{number}")
    return await _shown(visit, found, tab="history", origins=[])


async def _shown(
    visit: Visit, found: Resource, *, tab: str, origins: list[tuple[str, str, str]]
) -> Response:
    type_, id_ = visit.type(), visit.id()
    number, updated = _meta(found)
    story = _WITH_STORIES.get(type_, "").format(id_)
    return await visit.page(
        "resource",
        type=type_,
        id=id_,
        tab=tab,
        heading=titles.title(found),
        version=number,
        updated=updated,
        nodes=visit.readable().nodes(found),
        origins=origins,
        story=story,
    )


async def json(visit: Visit) -> Response:
    """Show the current version as JSON, coloured, references as links."""
    type_, id_ = visit.type(), visit.id()
    body = await visit.reader.body(f"{type_}/{id_}")
    code = listing.coloured(body, visit.readable().href)
    size = words.counted(len(body), "byte")
    return await visit.page("json", type=type_, id=id_, tab="json", code=code, size=size)


async def raw(visit: Visit) -> Response:
    """Give the current version as indented JSON."""
    body = await visit.reader.body(f"{visit.type()}/{visit.id()}")
    return look.content(listing.indented(body), "application/json")


async def history(visit: Visit) -> Response:
    """Show the versions, newest first."""
    type_, id_ = visit.type(), visit.id()
    cursor = visit.asked("after")
    query = [("_count", str(PAGE)), *([("_cursor", cursor)] if cursor else [])]
    bundle = model.parse(await visit.reader.body(f"{type_}/{id_}/_history", *query))
    versions = [_version(each) for each in bundle.get("entry", ())]
    following = reading.following(bundle)
    return await visit.page(
        "history", type=type_, id=id_, tab="history", versions=versions, following=following
    )


def _version(entry: Resource) -> tuple[str, str, str, bool]:
    """Give (version id, when, what happened, whether it can be shown) of a history entry."""
    answer = entry["response"]
    number = answer["etag"].removeprefix('W/"').removesuffix('"')
    happened = _METHODS.get(entry["request"]["method"], "written")
    return number, words.moment(answer["lastModified"]), happened, "resource" in entry


def _meta(found: Resource) -> tuple[str, str]:
    meta = found.get("meta", {})
    return str(meta.get("versionId", "")), words.moment(meta.get("lastUpdated", ""))

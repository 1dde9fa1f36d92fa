"""The routes of the web pages, behind the login: start, stories, resources. All are read only.

Errors are pages too; a page's title and address hold logical ids and never a person's data.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from fhir_server.pages import look, resource_pages, start, story_pages
from fhir_server.pages.look import Look
from fhir_server.pages.ports import Ports
from fhir_server.pages.reading import Reader
from fhir_server.pages.visit import Visit
from fhir_server.store.port import StoreUnavailable
from resources.outcome import FhirError, Forbidden, Unavailable

Answer = Callable[[Visit], Awaitable[Response]]

_TITLES = {
    400: "This request cannot be read",
    403: "Not permitted",
    404: "Nothing here",
    410: "Deleted",
    503: "Not available now",
}


def routes(ports: Ports) -> list[BaseRoute]:
    """Give the routes of the pages; the composition root mounts them at the root."""
    look_, state = Look(), start.State(ports)

    async def first(visit: Visit) -> Response:
        return await _start(visit, state)

    table: list[tuple[str, Answer]] = [
        ("/", first),
        ("/stories", story_pages.stories),
        ("/stories/{id}", story_pages.story),
        ("/stories/{id}/series/{series}/picture.png", story_pages.series_picture),
        ("/stories/{id}/documents/{type}/{document}/{number:int}", story_pages.document_picture),
        ("/resources", resource_pages.types),
        ("/resources/{type}", resource_pages.instances),
        ("/resources/{type}/{id}.json", resource_pages.raw),
        ("/resources/{type}/{id}", resource_pages.resource),
        ("/resources/{type}/{id}/json", resource_pages.json),
        ("/resources/{type}/{id}/history", resource_pages.history),
        ("/resources/{type}/{id}/history/{version:int}", resource_pages.version),
    ]
    static = StaticFiles(directory=Path(__file__).parent / "static")
    guarded = [
        Route(path, _guarded(ports, look_, answer), methods=["GET"]) for path, answer in table
    ]
    return [*guarded, Mount("/static", static)]


async def _start(visit: Visit, state: start.State) -> Response:
    newest, following = await start.stories(visit.reader)
    return await visit.page(
        "start",
        components=await state.components(),
        models=await state.models(),
        counts=await start.counts(visit.reader),
        stories=newest,
        following=following,
    )


def _guarded(ports: Ports, look_: Look, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Ask for a login before answering, and tell refusals as pages."""

    async def guarded(request: Request) -> Response:
        """Answer one request of a person who is logged in; send others to the login."""
        try:
            access = await ports.session(request.headers)
            if access is None:
                return _to_login(ports, request)
            reader = Reader(ports.context_for(access))
            visit = Visit(request, ports, look_, access, reader)
            return await _answered(visit, answer)
        except FhirError as error:
            return _refusal(look_, error)
        except StoreUnavailable:
            return _refusal(look_, Unavailable("The store is closing or cannot be reached"))

    return guarded


async def _answered(visit: Visit, answer: Answer) -> Response:
    try:
        return await answer(visit)
    except FhirError as error:
        title, text = _told(error)
        return await visit.page("error", error.status, title=title, text=text)


def _to_login(ports: Ports, request: Request) -> Response:
    """Send to the login page, to come back here."""
    if ports.login is None:
        raise Forbidden("There is no login here, and no access without one")
    path = quote(request.url.path)
    query = f"?{request.url.query}" if request.url.query else ""
    following = quote(path + query, safe="")
    return RedirectResponse(f"{ports.login}?next={following}", 303, headers=look.HEADERS)


def _refusal(look_: Look, error: FhirError) -> Response:
    """Tell an error to someone of whom nothing is known."""
    title, text = _told(error)
    return look_.page("error", error.status, title=title, text=text, who="", logout="", here="")


def _told(error: FhirError) -> tuple[str, str]:
    return _TITLES.get(error.status, "This did not work"), error.issues[0].diagnostics

"""A person's browser, as far as logins and consents need one: cookies, forms, our own redirects."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx

PASSWORD = "correct horse"


@dataclass
class Form:
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Forms(HTMLParser):
    """The forms of a page: hidden and ticked fields, and buttons."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {k: v or "" for k, v in attrs}
        if tag == "form":
            assert a["method"] == "post"
            self.forms.append(Form(a["action"]))
        elif tag == "input":
            self.forms[-1].fields.append((a["name"], a.get("value", "")))
        elif tag == "select":
            self.forms[-1].fields.append((a["name"], ""))
        elif tag == "button" and "name" in a:
            self.forms[-1].buttons.append((a["name"], a["value"]))


class Browser:
    """A person's browser: keeps cookies, fills in forms, follows our own redirects, stops at the app's."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **params: str) -> httpx.Response:
        return await self._follow(await self.http.get(path, params=params or None))

    async def submit(self, page: httpx.Response, nth: int = 0, **values: str) -> httpx.Response:
        form = Forms(page.text).forms[nth]
        data = [(k, values.pop(k, v)) for k, v in form.fields] + list(values.items())
        return await self._follow(await post(self.http, form.action, data))

    async def _follow(self, response: httpx.Response) -> httpx.Response:
        while response.is_redirect and response.headers["location"].startswith("/auth/"):
            response = await self.http.get(response.headers["location"])
        return response

    async def log_in(self, page: httpx.Response, name: str = "doc") -> httpx.Response:
        return await self.submit(page, name=name, password=PASSWORD)


async def post(http: httpx.AsyncClient, path: str, data: list[tuple[str, str]]) -> httpx.Response:
    content = str(httpx.QueryParams(data))
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return await http.post(path, content=content, headers=kind)

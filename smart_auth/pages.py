"""The pages of login, patient choice and consent: plain HTML forms that work without scripts."""

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response


class Pages:
    """Renders the pages of this package and knows the headers that go with them."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("smart_auth"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        style = resources.files("smart_auth").joinpath("templates/style.css").read_text("utf-8")
        self._style = Markup(style)  # noqa: S704 - our own file
        hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self.headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'sha256-{hashed}'; frame-ancestors 'none';"
                " base-uri 'none'"
            ),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }

    def answer(self, name: str, status: int = 200, /, **values: Any) -> Response:
        """Give a page as a response."""
        return HTMLResponse(self.render(name, **values), status, headers=self.headers)

    def message(self, title: str, text: str, status: int = 200) -> Response:
        """Give the page that tells one thing."""
        return self.answer("message", status, title=title, text=text)

    def render(self, name: str, /, **values: Any) -> str:
        """Give the HTML of a page; every value is escaped."""
        return self._templates.get_template(f"{name}.html").render(style=self._style, **values)

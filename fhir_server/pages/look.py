"""Templates and headers of the pages: everything escaped, nothing from elsewhere, nothing kept."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse, Response

from fhir_server.pages import words

POLICY = (
    "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Look:
    """Renders the templates of this package."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("fhir_server.pages"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["counted"] = words.counted

    def page(self, name: str, status: int = 200, **values: Any) -> Response:
        """Give a page as a response; every value is escaped."""
        html = self._templates.get_template(f"{name}.html").render(**values)
        return HTMLResponse(html, status, headers=HEADERS)


def content(body: bytes, media_type: str) -> Response:
    """Give bytes of ours that are no page: a picture, JSON."""
    return Response(body, media_type=media_type, headers=HEADERS)

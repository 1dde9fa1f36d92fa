"""/openapi.json and /docs: the REST API as OpenAPI, and as a page that needs nothing from elsewhere."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

Document = Callable[[], Mapping[str, Any]]
"""Gives the OpenAPI document."""
_METHODS = ("get", "post", "put", "patch", "delete")
_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8886; padding: .4rem .6rem; text-align: left; vertical-align: top; }
code { font-size: .95em; overflow-wrap: anywhere; }
:root { color-scheme: light dark; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def routes(document: Document) -> list[Route]:
    """Give the two routes."""

    async def specification(_: Request) -> Response:
        return Response(msgspec.json.encode(document()), media_type="application/json")

    async def page(_: Request) -> Response:
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(_page(document()), headers=headers)

    return [Route("/openapi.json", specification), Route("/docs", page)]


def _page(document: Mapping[str, Any]) -> str:
    information = document["info"]
    rows = "".join(
        _row(method, path, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    )
    title, base = escape(information["title"]), escape(document["servers"][0]["url"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}</h1><p>{escape(information['description'])}</p>"
        f'<p>Base: <code>{base}</code>. The same as <a href="openapi.json">OpenAPI</a>; what each '
        f'type offers: <a href="{base}/metadata">CapabilityStatement</a>.</p>'
        "<table><thead><tr><th>Method</th><th>URL</th><th>What it does</th><th>Query</th>"
        f"<th>Headers</th></tr></thead><tbody>{rows}</tbody></table></body></html>"
    )


def _row(method: str, path: str, operation: Mapping[str, Any]) -> str:
    cells = (
        f"<code>{method.upper()}</code>",
        f"<code>{escape(path)}</code>",
        escape(operation["summary"]),
        _named(operation, "query"),
        _named(operation, "header"),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _named(operation: Mapping[str, Any], place: str) -> str:
    names = [p["name"] for p in operation["parameters"] if p["in"] == place]
    return " ".join(f"<code>{escape(name)}</code>" for name in names)

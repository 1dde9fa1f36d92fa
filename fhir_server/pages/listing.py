"""JSON as coloured lines, references of this server as links."""

import re
from collections.abc import Callable, Iterator

import msgspec
from markupsafe import Markup, escape

MOST_BYTES = 256 * 1024
_PARTS = re.compile(
    r'(?P<name>"(?:[^"\\]|\\.)*")(?=: )|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)"
)


_CONTENT = re.compile(rb'"([A-Za-z0-9+/=]{64})[A-Za-z0-9+/=]{1984,}"')


def indented(body: bytes) -> bytes:
    """Give JSON with line breaks, its numbers as written."""
    return msgspec.json.format(body, indent=2)


def coloured(body: bytes, href: Callable[[str], str]) -> Markup | None:
    """Give indented JSON as HTML; `href` gives a string's link, "" for none. None for what is too long.

    Long base64 content is cut, and says so.
    """
    body = _CONTENT.sub(rb'"\1 and so on"', body)
    if len(body) > MOST_BYTES:
        return None
    text = indented(body).decode()
    return Markup("").join(_pieces(text, href))


def _pieces(text: str, href: Callable[[str], str]) -> Iterator[Markup]:
    end = 0
    for found in _PARTS.finditer(text):
        yield escape(text[end : found.start()])
        end = found.end()
        kind, written = str(found.lastgroup), found[0]
        link = href(written[1:-1]) if kind == "text" else ""
        yield (
            Markup('<a href="{}">{}</a>').format(link, written)
            if link
            else (Markup('<span class="{}">{}</span>').format(f"j-{kind}", written))
        )
    yield escape(text[end:])

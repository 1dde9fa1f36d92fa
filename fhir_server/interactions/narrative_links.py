"""Links in a narrative: the href of an a and the src of an img (FHIR R4 bundle.html#references).

Nothing else of it is looked at: no text, however much it looks like a link, no comment, no CDATA section and
no other attribute.
"""

import html
import re
from collections.abc import Callable
from typing import Final

_ATTRIBUTES = r"""[^<>"']*(?:(?:"[^"]*"|'[^']*')[^<>"']*)*"""
_STEP = re.compile(
    r"(?:[^<]+|<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>"
    rf"|<(?![!?]|(?:a|img)[\s/>]){_ATTRIBUTES}>){{1,200}}"
    rf"|<(a|img)(?=[\s/>])({_ATTRIBUTES})>"
    r"|<.*",  # what is broken stays as it is: validation refuses it
    re.DOTALL,
)
"""Some of what holds no link (text, comments, CDATA sections, instructions, other tags), or one tag that may.

It matches wherever markup may begin, so that a narrative is gone through once, however broken it is.
"""
_ATTRIBUTE = re.compile(r"""([^\s=<>"']+)(\s*=\s*)(?:"([^"]*)"|'([^']*)')""")
_LINKING: Final = {"a": "href", "img": "src"}


def replaced(narrative: str, target: Callable[[str], str]) -> str:
    """Give a narrative with what `target` gives for each of its links; it gives the link itself to keep it.

    The quotes stay those that were used.
    """
    if "href" not in narrative and "src" not in narrative:
        return narrative  # as most: that is far quicker than to look at its markup
    return _STEP.sub(lambda found: _step(found, target), narrative)


def _step(found: re.Match[str], target: Callable[[str], str]) -> str:
    name = _LINKING.get(found[1])
    if name is None or name not in found[2]:
        return found[0]
    linked = _ATTRIBUTE.sub(lambda one: _attribute(one, name, target), found[2])
    return f"<{found[1]}{linked}>"


def _attribute(found: re.Match[str], name: str, target: Callable[[str], str]) -> str:
    if found[1] != name:
        return found[0]
    quote = '"' if found[4] is None else "'"
    link = html.unescape(found[3] if found[4] is None else found[4])
    stands = target(link)
    return found[0] if stands is link else f"{name}{found[2]}{quote}{html.escape(stands)}{quote}"

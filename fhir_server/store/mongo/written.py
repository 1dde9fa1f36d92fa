"""What is written in a resource: its words for an index, and its texts for phrases (fulltext.py).

A word is kept once, as `n:word` of the narrative or `c:word` of all else. A word alone, or its beginning, is
answered by the index; of a phrase the index gives what has all its words, and the texts are looked at.
"""

from __future__ import annotations

import re
from typing import Final

from bson import encode

from fhir_server.search.expression import FullText
from fhir_server.search.values import IndexValues
from fhir_server.store.mongo.keys import Filter, begins

_WORDS: Final = "written.words"
_PARTS: Final = {"narrative": ("narrative",), "content": ("narrative", "content")}


def of_values(values: IndexValues) -> Filter:
    """Give the field of a resource's document; nothing where nothing is written."""
    return _field(values.narrative, values.content)


def fitted(values: IndexValues, room: int) -> Filter:
    """Give the field with as much of the texts, from their beginnings, as fits into so many bytes."""
    narrative, content = values.narrative, values.content
    while (field := _field(narrative, content)) and len(encode(field)) > room:
        narrative, content = _first_half(narrative), _first_half(content)
    return field


def _first_half(text: str) -> str:
    return text[: len(text) // 2].rpartition(" ")[0]


def _field(narrative: str, content: str) -> Filter:
    if not narrative and not content:
        return {}
    words = dict.fromkeys(f"n:{word}" for word in narrative.split())
    words |= dict.fromkeys(f"c:{word}" for word in content.split())
    return {"written": {"words": list(words), "narrative": narrative, "content": content}}


def condition(node: FullText) -> Filter:
    """Give the condition that the words follow one another in one of the parts asked for."""
    parts = [_in_part(node, part) for part in _PARTS[node.part]]
    return parts[0] if len(parts) == 1 else {"$or": parts}


def _in_part(node: FullText, part: str) -> Filter:
    *whole, last = [f"{part[0]}:{word}" for word in node.words]
    wanted: list[Filter] = [{_WORDS: word} for word in dict.fromkeys(whole)]
    wanted.append({_WORDS: {"$elemMatch": begins(last)} if node.prefix else last})
    if whole:
        end = "" if node.prefix else "( |$)"
        phrase = f"(^| ){re.escape(' '.join(node.words))}{end}"
        wanted.append({f"written.{part}": {"$regex": phrase}})
    return wanted[0] if len(wanted) == 1 else {"$and": wanted}

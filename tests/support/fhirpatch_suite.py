"""The FHIRPath Patch tests of the corpus: input, patch and output as JSON."""

from dataclasses import dataclass
from typing import Any

from lxml import etree

from resources.xml import from_xml


@dataclass(frozen=True)
class Case:
    """One test; without output it is to be refused."""

    name: str
    input: dict[str, Any]
    patch: dict[str, Any]
    output: dict[str, Any] | None


def cases(path):
    root = etree.fromstring(
        path.read_bytes(), etree.XMLParser(remove_comments=True, remove_blank_text=False)
    )
    for case in root.iter("case"):
        yield Case(case.get("name"), *(held(case, part) for part in ("input", "diff", "output")))


def held(case, part):
    found = case.find(part)
    return None if found is None else from_xml(etree.tostring(found[0], with_tail=False))

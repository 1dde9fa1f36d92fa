"""What modifiers look at beside a parameter's own values: texts, identifier types, parts of versions.

Each has an atom of its own, named by the parameter's and a suffix that no path has (search.html#modifiers).
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from fhir_server.search.values import IndexValues, ReferenceValue, TextValue, TokenValue
from resources import datatypes

TEXT: Final = ":text"
"""Texts of CodeableConcept.text, Coding.display and Identifier.type.text, which :text searches."""
OF_TYPE: Final = ":of-type"
"""Tokens of an identifier's type system, and its type code and value joined, which :of-type searches."""
BASE: Final = ":base"
"""Tokens of a media type without its parameters, which :below searches."""
BELOW: Final = ":below"
"""Urls of canonicals with each beginning of their version, which :below searches."""


def add_text(name: str, text: Any, out: IndexValues) -> None:
    """Add a text to the atom `name`; such texts are not found by :exact."""
    if type(text) is str and text:
        out.texts.append(_text(name, text) if len(text) <= _KEPT else _made(name, text))


_KEPT: Final = 100


def _made(name: str, text: str) -> TextValue:
    return TextValue(name, datatypes.normal(text), "")


_text = lru_cache(16_384)(_made)


def add_type(atom: str, value: dict[str, Any], out: IndexValues) -> None:
    """Add what an identifier's type says to the atoms beside that of the identifier."""
    kind, number = value.get("type"), value.get("value")
    if type(kind) is not dict:
        return
    add_text(atom + TEXT, kind.get("text"), out)
    codings = kind.get("coding")
    if type(number) is not str or type(codings) is not list:
        return
    for coding in codings:
        code, system = coding.get("code"), coding.get("system", "")
        if type(code) is str and type(system) is str:
            out.tokens.append(TokenValue(atom + OF_TYPE, system, typed(code, number)))


def typed(code: str, number: str) -> str:
    """Join an identifier's type code and value so that no other two give the same."""
    return f"{_escaped(code)}|{_escaped(number)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def media_base(code: str) -> str:
    """Give a media type without its parameters, in lower case."""
    return code.partition(";")[0].strip().lower()


def add_versions(atom: str, canonical: str, out: IndexValues) -> None:
    """Add a canonical with each beginning of its version at a dot: of |3.0.1 also |3 and |3.0."""
    url, _, version = canonical.partition("|")
    out.references.extend(
        ReferenceValue(atom + BELOW, "", "", f"{url}|{start}") for start in _starts(version)
    )


def _starts(version: str) -> Iterator[str]:
    place = version.find(".")
    while place > 0:
        yield version[:place]
        place = version.find(".", place + 1)
    yield version

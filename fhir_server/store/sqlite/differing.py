"""Values that differ from what is asked, as conditions on kept rows (the node Differs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from fhir_server.search.expression import Kind, Text, Token, Uri
from fhir_server.store.sqlite.candidates import Column
from fhir_server.store.sqlite.rows import kept

if TYPE_CHECKING:
    from fhir_server.store.sqlite.conditions import Conditions

KINDS: Final[dict[type, Kind]] = {Token: "token", Text: "text", Uri: "uri"}


def condition(part: Token | Text | Uri, column: Column, conditions: Conditions) -> str:
    """Give the condition that a kept row of the part's atom does not satisfy the part."""
    match part:
        case Token():
            return f"NOT {_code(part, column, conditions)}"
        case Text():
            return f"NOT ({conditions.text(part, column('normal'))})"
        case Uri():
            return f"{column('value')} <> {conditions.bind(part.value)}"
        case _:
            assert_never(part)


def _code(node: Token, column: Column, conditions: Conditions) -> str:
    bind, hashes = conditions.bind, conditions.hashes
    tests = []
    if node.code is not None:
        tests.append(f"{column('code')} = {bind(kept(hashes.code(node.code)))}")
    if node.system is not None:
        tests.append(f"{column('system')} = {bind(kept(hashes.word(node.system)))}")
    return f"({' AND '.join(tests) or bind(1)})"

"""Uploaded search parameters: SearchParameter → what can be done with it (FHIR R4 searchparameter.html).

A parameter is used if it is active, has a code that no other one of its types has, one of the types of
parameter that are offered, and an expression that leads to values of that type.
"""

import re
from collections.abc import Iterator

from fhir_server.search.parameters import KINDS, SearchParameters, Uploaded
from resources import definitions as r4
from resources.fhirpath.compile import Unsupported
from resources.fhirpath.parse import SyntaxFault
from resources.model import Resource
from resources.outcome import Issue

TYPE = "SearchParameter"
_CODE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
_LONGEST = 2_000
_RESULT = frozenset(
    {"_count", "_elements", "_include", "_revinclude", "_sort", "_summary", "_total"}
)


def definition(resource: Resource) -> r4.SearchParameter:
    """Give the definition that a valid SearchParameter resource holds."""
    return r4.SearchParameter(
        url=resource["url"],
        code=resource["code"],
        type=resource["type"],
        base=tuple(resource["base"]),
        expression=resource.get("expression", ""),
        target=tuple(resource.get("target", ())),
    )


class Uploads:
    """Tells what can be done with an uploaded SearchParameter, beside R4's own and the others of a tenant."""

    def __init__(self, definitions: r4.Definitions, shared: SearchParameters) -> None:
        self._definitions = definitions
        self._shared = shared

    def types(self, held: r4.SearchParameter) -> tuple[str, ...]:
        """Give the resource types that a parameter is for, sorted; names that R4 has not are left out."""
        return tuple(sorted(self._types(held)))

    def _types(self, held: r4.SearchParameter) -> Iterator[str]:
        for type_ in self._definitions.resource_types:
            name: str | None = type_
            while name is not None and name not in held.base:
                name = self._definitions.base(name)
            if name is not None:
                yield type_

    def usable(self, resource: Resource) -> bool:
        """Tell whether a valid SearchParameter is one to index and to search by."""
        return not self.issues(resource, ())

    def issues(
        self, resource: Resource, others: tuple[r4.SearchParameter, ...]
    ) -> tuple[Issue, ...]:
        """Give the one reason why a valid SearchParameter is refused (error) or only kept (warning), if any.

        `others` are the uploaded parameters of the tenant, without this resource's own.
        """
        if resource["status"] != "active":
            return (_kept("status", "It is not active, so it is kept and not used"),)
        held = definition(resource)
        place = self._same_code(held)
        if place is not None and _restates(resource, place):
            return (_kept("code", "R4 has it already, and R4's own definition is used"),)
        if place is not None or held.code in _RESULT or any(self.same(held, one) for one in others):
            text = f"The code {_named(held.code)} is another search parameter's of the same type"
            return (Issue("error", "duplicate", text, f"{TYPE}.code"),)
        fault = self._fault(held)
        return () if fault is None else (fault,)

    def _same_code(self, held: r4.SearchParameter) -> str | None:
        """Give the url of R4's own parameter that has the code on one of the types."""
        for type_ in self.types(held):
            known = self._shared.get(type_, held.code)
            if known is not None:
                return known.url
        return None

    def same(self, one: r4.SearchParameter, other: r4.SearchParameter) -> bool:
        """Tell whether two parameters have one code on one type."""
        if one.code != other.code:
            return False
        return not frozenset(self._types(one)).isdisjoint(self._types(other))

    def _fault(self, held: r4.SearchParameter) -> Issue | None:
        """Give why a parameter cannot be used, None if it can."""
        if not _CODE.fullmatch(held.code):
            return _kept("code", "A code that is used in a URL has letters, digits, '-' and '_'")
        if held.type not in KINDS:
            return _kept("type", f"Search parameters of type {held.type} are not offered")
        if not held.expression or len(held.expression) > _LONGEST:
            return _kept("expression", f"An expression of up to {_LONGEST} characters is needed")
        trial = SearchParameters(self._definitions, (Uploaded(held),), self._shared)
        try:
            without = [t for t in self.types(held) if not _has_values(trial, t, held.code)]
        except (SyntaxFault, Unsupported, RecursionError) as fault:
            told = (
                "is no FHIRPath" if isinstance(fault, SyntaxFault) else "uses what is not offered"
            )
            return _kept(
                "expression", f"The expression {told}, so the parameter is kept and not used"
            )
        if without or not self.types(held):
            named = ", ".join(without[:3]) or "any type that R4 has"
            return _kept(
                "expression", f"It leads to no {held.type} value of {named}: kept, not used"
            )
        return None


def _has_values(parameters: SearchParameters, type_: str, code: str) -> bool:
    found = parameters.get(type_, code)
    return found is not None and bool(found.atoms)


def _restates(resource: Resource, url: str) -> bool:
    """Tell whether a resource repeats or narrows R4's own parameter, as implementation guides do."""
    return url in {resource["url"], resource.get("derivedFrom")}


def _kept(element: str, text: str) -> Issue:
    return Issue("warning", "not-supported", text, f"{TYPE}.{element}")


def _named(code: str) -> str:
    return code if _CODE.fullmatch(code) else "(unreadable)"

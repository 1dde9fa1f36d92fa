"""Codes of uploaded search parameters: of two that come at once only one has a code (searchparameter.html).

What a process knows of other uploads is a moment old, so the store itself is asked, and the commit holds to
it that none came meanwhile.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from fhir_server.search.custom import TYPE, Uploads, definition
from fhir_server.search.expression import And, Branch, Expression, Or, Plan, Token, Updated
from fhir_server.search.parameters import SearchParameters
from fhir_server.store.port import Change, Key, NoMatch, Page, Scope, Store
from resources.model import Resource, parse
from resources.outcome import Unprocessable

_ABSTRACT = ("DomainResource", "Resource")
Held = tuple[Key, Resource]


class Codes:
    """Refuses a code that is taken; `shared` has R4's own search parameters."""

    def __init__(self, rules: Uploads, shared: SearchParameters) -> None:
        self._rules = rules
        self._shared = shared

    async def guards(self, store: Store, changes: Sequence[Change]) -> tuple[NoMatch, ...]:
        """Give what must hold within the commit; raises Unprocessable where a code is taken already.

        Where one does not hold the commit is to be tried again: the other one is seen then.
        """
        held = list(self._usable(changes))
        rewritten = frozenset(change.key for change in changes)
        by_code: dict[str, list[Resource]] = {}
        for _, resource in held:
            earlier = by_code.setdefault(resource["code"], [])
            for one in earlier:
                self._refuse_same(resource, one)
            earlier.append(resource)
        return tuple([await self._guard(store, one, rewritten) for one in held])

    def _usable(self, changes: Sequence[Change]) -> Iterator[Held]:
        for change in changes:
            if change.key.type == TYPE and change.body is not None:
                resource = parse(change.body.at(1, 0))
                if self._rules.usable(resource):
                    yield change.key, resource

    async def _guard(self, store: Store, held: Held, rewritten: frozenset[Key]) -> NoMatch:
        """Look for another one of the code; give that none comes from the instant of the look on.

        What the same commit deletes or writes anew is judged as it then will be.
        """
        key, resource = held
        newest = await store.history(Scope(key.tenant), Page(1))
        since = newest[0].updated if newest else 0
        where = self._of_the_code(resource)
        for match in await store.search(Plan(key.tenant, (Branch(TYPE, where),))):
            other = match.version
            if other.key == key:
                continue
            if other.key not in rewritten:
                self._refuse_same(resource, parse(other.body or b""))
            since = max(since, other.updated + 1)  # one that is not used, or goes: it may be there
        later = And((where, Updated("ge", since, since)))
        return NoMatch(Plan(key.tenant, (Branch(TYPE, later),)), apart_from=key)

    def _refuse_same(self, resource: Resource, other: Resource) -> None:
        if not self._rules.usable(other):
            return
        issues = self._rules.issues(resource, (definition(other),))
        if issues:
            raise Unprocessable(
                "The code is another search parameter's",
                issues=tuple(replace(issue, severity="error") for issue in issues),
            )

    def _of_the_code(self, resource: Resource) -> Expression:
        types = (*self._rules.types(definition(resource)), *_ABSTRACT)
        return And(
            (
                self._token("code", (resource["code"],)),
                self._token("base", types),
                self._token("status", ("active",)),
            )
        )

    def _token(self, code: str, values: Sequence[str]) -> Expression:
        known = self._shared.get(TYPE, code)
        atoms = known.atoms if known is not None else ()
        return Or(tuple(Token(atom.name, None, value) for atom in atoms for value in values))

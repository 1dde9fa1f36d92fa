"""AuditEvents put together from pieces, for many at once: what they share is made, written and indexed once.

An element of an event depends on little of its record: what was done, how it ended, who asked, whom it was
about. Each such piece is kept with its JSON and with what it gives to be found by; only the time, the query
and the request's id are each event's own. `event` says what an event is: the whole of its pieces is the same
(tests/fhir_server/audit/test_pieces.py).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from fhir_server.audit import event
from fhir_server.audit.event import Accessed
from fhir_server.audit.record import ACTIONS
from fhir_server.search.full_text_values import Gathered, gathered
from fhir_server.search.index_values import Extraction
from fhir_server.store.port import Body, Change, Key
from resources.model import Resource, serialise

TYPE: Final = "AuditEvent"
_REMEMBERED: Final = 4_096
_FINISHED: Final = frozenset({"clinical", "narrative", "content"})
_KINDS: Final = tuple(kind for kind in Gathered.__struct_fields__ if kind not in _FINISHED)


class Piece(Struct, frozen=True):
    """The JSON of some members or of one repetition, and what it adds to an event's index values, by kind."""

    json: bytes
    added: tuple[tuple[str, list[Any]], ...] = ()


class Pieces:
    """Makes the changes that store AuditEvents, with an extraction that goes by element.

    What is remembered follows from its arguments alone: it is neither stale nor anyone's.
    """

    def __init__(self, extraction: Extraction, server: str) -> None:
        self.extraction = extraction
        self._server = server
        self._meta = lru_cache(_REMEMBERED)(self._meta_of)
        self._what = lru_cache(_REMEMBERED)(lambda act: self._members(event.what(act)))
        self._outcome = lru_cache(_REMEMBERED)(self._outcome_of)
        self._who = lru_cache(_REMEMBERED)(self._who_of)
        self._patient = lru_cache(_REMEMBERED)(lambda id_: self._one(event.patient(id_)))
        self._entity = lru_cache(_REMEMBERED)(lambda named: self._one(event.entity(named)))

    def change(self, tenant: str, accessed: Accessed) -> Change:
        """Give what creates the event of one access."""
        record = accessed.record
        known = [
            self._meta(event.pattern_of(accessed)),
            self._what(record.act),
            self._outcome(record.status, record.purpose),
            self._who(ACTIONS.get(record.act, "E"), event.caller(record)),
        ]
        about = [*map(self._patient, accessed.patients), *map(self._entity, accessed.entities)]
        when, asked = event.when(record), event.asked(record)
        requested = [event.request(record.request)] if record.request else []
        out = gathered()
        for piece in (*known, *about):
            for kind, values in piece.added:
                getattr(out, kind).extend(values)
        self.extraction.visit({**when, "entity": [*asked, *requested]}, out)
        entities = [*map(serialise, asked), *(p.json for p in about), *map(serialise, requested)]
        body = _body(accessed.id, [piece.json for piece in known], serialise(when)[1:-1], entities)
        return Change(Key(tenant, TYPE, accessed.id), "POST", body, self.extraction.finish(out))

    def _meta_of(self, pattern: str) -> Piece:
        """Give what ends the meta that the store begins."""
        if not pattern:
            return Piece(b"}")
        meta = event.meta(pattern)
        return Piece(b"," + serialise(meta)[1:], self._added({"meta": meta}))

    def _outcome_of(self, status: int, purpose: str) -> Piece:
        return self._members(event.outcome(status, purpose))

    def _who_of(self, action: str, caller: event.Caller) -> Piece:
        return self._members(event.who(action, caller, self._server))

    def _members(self, members: Resource) -> Piece:
        return Piece(serialise(members)[1:-1], self._added(members))

    def _one(self, entity: Resource) -> Piece:
        return Piece(serialise(entity), self._added({"entity": [entity]}))

    def _added(self, members: Resource) -> tuple[tuple[str, list[Any]], ...]:
        out = gathered()
        self.extraction.visit(members, out)
        kinds = ((kind, getattr(out, kind)) for kind in _KINDS)
        return tuple((kind, values) for kind, values in kinds if values)


def _body(id_: str, known: Sequence[bytes], when: bytes, entities: Sequence[bytes]) -> Body:
    """Write an event around the place where the store writes its version."""
    meta, what, outcome, who = known
    tail = [meta, what, when, outcome, who]
    if entities:
        tail.append(b'"entity":[%b]' % b",".join(entities))
    head = b'{"resourceType":"AuditEvent","id":%b,"meta":{' % serialise(id_)
    return Body(head, b",".join(tail) + b"}")

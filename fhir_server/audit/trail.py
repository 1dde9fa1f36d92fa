"""What each door tells the journal, as one record an access (IHE BALP: who, what, when, outcome)."""

import contextvars
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol
from urllib.parse import parse_qsl

import msgspec

from fhir_server.access import Access
from fhir_server.audit.journal import Journal, JournalFailed
from fhir_server.audit.record import Door, Record
from fhir_server.message import FhirRequest, FhirResponse
from resources.outcome import Unavailable

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""The request id that our own edges act under while they answer one, e.g. a message's."""

WITHIN: contextvars.ContextVar[list[Record] | None] = contextvars.ContextVar("within", default=None)
"""Where the records are collected that an edge of ours causes while it answers, e.g. a message."""

_READS = frozenset({"GET", "HEAD"})
_FORM = 8_192
_LARGEST = 1 << 20
_HISTORY = {1: "history-system", 2: "history-type", 3: "history-instance"}
_WRITES = {"PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Caller(Protocol):
    """Who makes an interaction: what the trail needs of a context."""

    @property
    def tenant(self) -> str:
        """Give the tenant."""

    @property
    def access(self) -> Access:
        """Give who asks."""

    @property
    def request_id(self) -> str:
        """Give the request id, empty where it is one of our own edges that asks."""

    @property
    def address(self) -> str:
        """Give the client's network address."""

    @property
    def keep_unchanged(self) -> bool:
        """Tell whether it is one of our own edges that asks."""


class _Meta(msgspec.Struct):
    versionId: str = ""  # noqa: N815 - FHIR's name


class _Resource(msgspec.Struct):
    resourceType: str = ""  # noqa: N815 - FHIR's name
    id: str = ""
    meta: _Meta | None = None


class _Part(msgspec.Struct):
    resource: _Resource | None = None


class _Told(_Resource):
    entry: tuple[_Part, ...] = ()
    parameter: tuple[_Part, ...] = ()


class _Given(msgspec.Struct):
    name: str = ""
    valueString: str = ""  # noqa: N815 - FHIR's name


class _Parameters(msgspec.Struct):
    parameter: tuple[_Given, ...] = ()


_PARAMETERS = msgspec.json.Decoder(_Parameters)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TOLD = msgspec.json.Decoder(_Told)


class Trail:
    """Appends what the doors tell to the journal.

    Where it cannot: with `refuse` the access is refused, else it goes on and readiness tells of the gap.
    """

    def __init__(self, journal: Journal, clock: Callable[[], int], *, refuse: bool = True) -> None:
        self.journal = journal
        self._clock = clock
        self._refuse = refuse

    def interaction(self, caller: Caller, request: FhirRequest, response: FhirResponse) -> None:
        """Tell of an interaction or operation; raises Unavailable where it cannot be kept.

        What our own edges read is told to nobody, so only their writes are kept.
        """
        parts = [part for part in request.path.split("/") if part]
        reads = request.method in _READS or (bool(parts) and parts[-1] == "_search")
        if parts == ["metadata"] or (reads and caller.keep_unchanged):
            return
        act = _act(request.method, parts)
        access = caller.access
        record = Record(
            self._clock(),
            caller.tenant,
            "fhir",
            act,
            response.status,
            access.subject,
            access.client,
            access.fhir_user or "",
            caller.address,
            caller.request_id or REQUEST_ID.get(),
            request.path,
            _what(act, parts, response),
            _query(request, parts) if reads or act == "operation" else request.query,
            "",
            response.changed if act == "bundle" or len(response.changed) > 1 else (),
            access.purpose,
        )
        if act == "bundle" and not record.written and response.status < 300:
            return  # a batch: each of its entries was an interaction
        self.tell(record)
        within = WITHIN.get()
        if within is not None:
            within.append(record)

    def ready(self) -> None:
        """Refuse what is about to be written while the journal cannot be; raises Unavailable."""
        if self.journal.fault:
            self.event("", "fhir", "resume", 200)

    def event(
        self,
        tenant: str,
        door: Door,
        act: str,
        status: int,
        access: Access | None = None,
        **more: str | Sequence[str] | Sequence[tuple[str, str]],
    ) -> None:
        """Tell of what is no FHIR interaction: a login, a token, frames, a message, a job."""
        who = access or Access("")
        given: dict[str, object] = {
            name: value if isinstance(value, str) else tuple(value) for name, value in more.items()
        }
        named = {"subject": who.subject, "client": who.client, "user": who.fhir_user or ""}
        named |= {"request": REQUEST_ID.get(), "purpose": who.purpose}
        self.tell(Record(self._clock(), tenant, door, act, status, **(named | given)))  # type: ignore[arg-type]  # by name

    def tell(self, record: Record) -> None:
        """Append a record; raises Unavailable where it cannot be kept and must be."""
        try:
            self.journal.append(record)
        except JournalFailed:
            self._fail()

    async def synced(self) -> None:
        """Return once all that was told is on the disk, at once if it is; raises Unavailable."""
        try:
            await self.journal.synced()
        except JournalFailed:
            self._fail()

    def _fail(self) -> None:
        if self._refuse:
            raise Unavailable("The audit trail cannot be written, so nothing is answered") from None


def _act(method: str, parts: list[str]) -> str:
    """Name an interaction (FHIR R4 restful-interaction), or "operation", "bundle" or "job"."""
    last = parts[-1] if parts else ""
    if last[:1] == "$":
        return "purge" if last == "$purge" else "operation"
    if parts and parts[0] == "_async":
        return "export-file" if method in _READS and len(parts) > 2 else "job"
    if method in _READS:
        return _reading(parts, last)
    if method == "POST":
        if last == "_search":
            return "search-type" if len(parts) > 1 else "search-system"
        return "create" if parts else "bundle"
    return _WRITES.get(method, "operation")


def _reading(parts: list[str], last: str) -> str:
    if len(parts) == 2 and last != "_history":
        return "read"
    if last == "_history":
        return _HISTORY.get(len(parts), "history-instance")
    if len(parts) == 4:
        return "vread"
    return "search-type" if parts else "search-system"


def _query(request: FhirRequest, parts: list[str]) -> tuple[tuple[str, str], ...]:
    if parts and parts[-1][:1] == "$" and 0 < len(request.body) <= _LARGEST:
        return (*request.query, *_parameters(request.body))
    if not request.body or not parts or parts[-1] != "_search":
        return request.query
    form = parse_qsl(request.body[:_FORM].decode("utf-8", "replace"), keep_blank_values=True)
    return (*request.query, *form)


def _parameters(body: bytes) -> Iterable[tuple[str, str]]:
    """Give the texts among an operation's parameters, e.g. a reason."""
    try:
        given = _PARAMETERS.decode(body).parameter
    except _UNREADABLE:
        return ()
    return [(one.name, one.valueString) for one in given if one.valueString]


def _what(act: str, parts: list[str], response: FhirResponse) -> tuple[str, ...]:
    """Name what was given or written; of several that were deleted each is told apart."""
    if response.seen:
        return tuple([version.reference for version in response.seen])
    if response.changed:
        return (response.changed[0][1],) if act != "bundle" and len(response.changed) == 1 else ()
    return _found(act, parts, response)


def _found(act: str, parts: list[str], response: FhirResponse) -> tuple[str, ...]:
    """Name what was read or written where the interaction did not: by its Location, its URL or its body."""
    location = response.headers.get("Location")
    if location is not None:
        return (_relative(location),)
    if act in {"operation", "purge"}:
        place = (f"{parts[0]}/{parts[1]}",) if len(parts) > 2 else ()
        return (*place, *_in(response.body)) if response.status < 300 else place
    if len(parts) > 1 and parts[0] != "_async" and act[:6] != "search":
        return (f"{parts[0]}/{parts[1]}",)
    return ()


def _in(body: bytes) -> Iterable[str]:
    """Name the resources in an operation's answer: its own, a Bundle's, or those of its parameters."""
    if not body or len(body) > 64 * _LARGEST:
        return ()
    try:
        told = _TOLD.decode(body)
    except _UNREADABLE:
        return ()
    held = [told, *(e.resource for e in told.entry), *(p.resource for p in told.parameter)]
    return [
        f"{one.resourceType}/{one.id}"
        + (f"/_history/{one.meta.versionId}" if one.meta and one.meta.versionId else "")
        for one in held
        if one is not None and one.id
    ]


def _relative(location: str) -> str:
    """Give Type/id/_history/version of a Location."""
    return "/".join(location.rsplit("/", 4)[-4:])

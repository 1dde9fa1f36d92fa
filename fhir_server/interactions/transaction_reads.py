"""The reads of a transaction: judged before anything is written, carried out after it (http.html#trules)."""

from collections.abc import Iterable

from msgspec.structs import replace

from fhir_server.context import Context, Handler
from fhir_server.interactions import answer
from fhir_server.interactions.entry import told_at
from fhir_server.interactions.identities import Step, deleted, keys_of, place
from fhir_server.message import FhirResponse
from fhir_server.store.port import Key
from resources.outcome import FhirError, Gone

_METHODS = frozenset({"GET", "HEAD"})


def reads(step: Step) -> bool:
    """Tell whether an entry reads."""
    return step.request.method in _METHODS


async def refuse(context: Context, steps: Iterable[Step], dispatch: Handler) -> None:
    """Raise what a read would fail with, told with its place: a transaction is done whole or not at all.

    Each is tried on what is there before the transaction. What it writes itself is read afterwards only, and
    so is what an operation gives, which may do more than read.
    """
    steps = tuple(steps)
    asked = [step for step in steps if reads(step) and "$" not in step.request.path]
    if not asked:
        return
    gone = deleted(steps)
    written = {key for step in steps if not reads(step) for key in keys_of(step)}
    unseen = replace(context, services=replace(context.services, audit=None))
    for step in asked:
        key = _key(context, step)
        try:
            if key in gone:
                raise Gone("The transaction deletes what this entry reads")
            if key not in written:
                await dispatch(unseen, step.request)
        except FhirError as fault:
            fault.issues = told_at(place(step), fault.issues)
            raise


def _key(context: Context, step: Step) -> Key | None:
    """Give the key of the instance that a read is of, None where it searches."""
    parts = step.request.path.split("/")
    return answer.key(context, *parts[:2]) if len(parts) > 1 else None


async def answered(context: Context, step: Step, dispatch: Handler) -> FhirResponse:
    """Carry out a read after the commit; one that fails now lost a race, and says so for itself."""
    try:
        return await dispatch(context, step.request)
    except FhirError as error:
        return answer.failed(error)

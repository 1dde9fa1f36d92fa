"""Patient/$disclosures: who saw or was given a patient's data, as AuditEvents or as a table (CSV)."""

import base64
import csv
import io
from typing import Any

from fhir_server.context import Context
from fhir_server.interactions import reach, search
from fhir_server.interactions.query import Place
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import Key
from operations.operation import In, Out, operation
from resources.model import Resource, parse, serialise
from resources.outcome import Invalid, NotFound

_TYPE = "AuditEvent"
_CSV = frozenset({"text/csv", "csv"})
_COLUMNS = ("recorded", "action", "what", "user", "client", "address", "purpose", "outcome")
_PAGE = 1_000
_MOST = 100_000
_ACTIONS = {"C": "create", "R": "read", "U": "update", "D": "delete", "E": "query"}


@operation(
    "disclosures",
    on="Patient",
    level="instance",
    parameters=(
        In("start", "date", "Only what was done at or after this day."),
        In("end", "date", "Only what was done at or before this day."),
        In("_outputFormat", "string", "text/csv for a table; a Bundle otherwise."),
        Out("return", "Bundle", "The AuditEvents, the newest first, as a collection."),
    ),
)
async def disclosures(
    context: Context,
    key: Key,
    *,
    start: str | None = None,
    end: str | None = None,
    outputFormat: str = "",  # noqa: N803 - as the specification of bulk data spells it
) -> FhirResponse:
    """Tell of every access to a patient's data; needs a scope for AuditEvent, and the patient in reach."""
    context.require(_TYPE, "s")
    if await reach.current(context, key, "r") is None:
        raise NotFound("There is no such resource, or it is out of this token's reach")
    if outputFormat and outputFormat not in _CSV:
        raise Invalid("_outputFormat is text/csv, or is left out for a Bundle", issue="value")
    events = await _events(context, key.id, start, end)
    if outputFormat in _CSV:
        return FhirResponse(200, _table(events), {}, "text/csv")
    entries = [
        {"fullUrl": f"{context.base}/{_TYPE}/{one['id']}", "resource": one} for one in events
    ]
    made: Resource = {"resourceType": "Bundle", "type": "collection"}
    return FhirResponse(200, serialise(made | ({"entry": entries} if entries else {})))


async def _events(
    context: Context, patient: str, start: str | None, end: str | None
) -> list[Resource]:
    query = [("patient", f"Patient/{patient}"), ("_sort", "-date"), ("_count", str(_PAGE))]
    query += [("date", f"{prefix}{day}") for prefix, day in (("ge", start), ("le", end)) if day]
    found: list[Resource] = []
    pairs: tuple[tuple[str, str], ...] | None = tuple(query)
    while pairs is not None and len(found) < _MOST:
        request = FhirRequest("GET", _TYPE, pairs)
        page = parse((await search.search(context, request, Place(_TYPE))).body)
        found += [entry["resource"] for entry in page.get("entry", [])]
        pairs = _following(page, query)
    return found


def _following(page: Resource, query: list[tuple[str, str]]) -> tuple[tuple[str, str], ...] | None:
    for link in page.get("link", []):
        if link["relation"] == "next":
            cursor = str(link["url"]).partition("_cursor=")[2].partition("&")[0]
            return (*query, ("_cursor", cursor))
    return None


def _table(events: list[Resource]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(_COLUMNS)
    table.writerows(_row(event) for event in events)
    return text.getvalue().encode()


def _row(event: Resource) -> tuple[str, ...]:
    agents: list[dict[str, Any]] = event.get("agent", [])
    asks = [agent for agent in agents if agent.get("network", {}).get("type") != "5"]
    client = next(iter(asks), {})
    user = next((agent for agent in asks[1:]), {})
    entities: list[dict[str, Any]] = event.get("entity", [])
    what = [e["what"]["reference"] for e in entities if "reference" in e.get("what", {})]
    what += [base64.b64decode(e["query"]).decode() for e in entities if "query" in e]
    purposes = [purpose.get("text", "") for purpose in event.get("purposeOfEvent", [])]
    return tuple(
        map(
            _harmless,
            (
                event.get("recorded", ""),
                _ACTIONS.get(event.get("action", ""), ""),
                " ".join(what),
                user.get("who", {}).get("reference", user.get("altId", "")),
                client.get("who", {}).get("identifier", {}).get("value", ""),
                client.get("network", {}).get("address", ""),
                " ".join(purposes),
                "done" if event.get("outcome", "0") == "0" else "refused",
            ),
        )
    )


def _harmless(text: str) -> str:
    """Keep a spreadsheet from taking a value for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text

"""Everything as NDJSON for a backend service: $export, its files, and counts that agree (Bulk Data 2.0)."""

from typing import Any

from fhir_server.demo.imaging import finished
from fhir_server.demo.rest import Fhir, expect
from fhir_server.demo.step import Notes, require
from fhir_server.demo.story import Place
from resources.model import parse

TYPES = (
    "ChargeItem",
    "Claim",
    "Device",
    "DiagnosticReport",
    "Encounter",
    "ImagingStudy",
    "Observation",
    "Patient",
    "ServiceRequest",
)


async def export(day: Place, notes: Notes) -> None:
    """$export is followed to its end; each file holds as many resources as its type has."""
    fhir = day.warehouse
    kick_off = f"{fhir.base}/$export?_type={','.join(TYPES)}"
    accepted = await fhir.send("GET", kick_off, headers={"Prefer": "respond-async"})
    expect(accepted, 202)
    job = accepted.headers["content-location"]
    notes.url(kick_off, job)
    await finished(fhir, job)
    manifest: dict[str, Any] = (await fhir.send("GET", job, accept="application/json")).json()
    require(not manifest["error"], "the export has errors")
    counts = {each["type"]: await _file(fhir, each, notes) for each in manifest["output"]}
    wanted = {type_: await fhir.count(type_) for type_ in TYPES}
    require(counts == wanted, f"the files hold {counts}, the server {wanted}")
    notes.facts |= {"counts": counts, "files": len(counts)}


async def _file(fhir: Fhir, entry: dict[str, Any], notes: Notes) -> int:
    """Fetch a file and give how many resources it holds, all of its type."""
    response = await fhir.send("GET", entry["url"], accept="application/fhir+ndjson")
    expect(response, 200)
    notes.url(entry["url"])
    lines = [parse(line) for line in response.content.splitlines() if line]
    strange = [line for line in lines if line["resourceType"] != entry["type"]]
    require(not strange, f"the file of {entry['type']} holds others")
    require(len(lines) == entry.get("count", len(lines)), "a file has not the count it is said to")
    return len(lines)

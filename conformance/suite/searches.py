"""Checks of searches, Bundles and formats (FHIR R4 search.html, http.html#transaction)."""

import uuid

from conformance.suite.asked import Check, NotClaimed, Server, check, hold
from resources.model import Resource


def _patients(server: Server, count: int) -> str:
    """Create Patients that share an identifier system of their own, and give it."""
    system = f"urn:suite:{uuid.uuid4()}"
    for number in range(count):
        name = [{"family": f"Suite{number}"}]
        identifier = [{"system": system, "value": str(number)}]
        server.create({"resourceType": "Patient", "name": name, "identifier": identifier})
    return system


def _ids(bundle: Resource) -> list[str]:
    entries = bundle.get("entry", ())
    return [e["resource"]["id"] for e in entries if e.get("search", {}).get("mode") == "match"]


@check("search.html#token")
def by_identifier(server: Server) -> None:
    """A search by identifier finds that one alone."""
    server.needs("Patient", "create", "search-type")
    system = _patients(server, 2)
    told = server.want({200}, "GET", f"Patient?identifier={system}|1")[1]
    hold(told["type"] == "searchset", "the Bundle is no searchset")
    hold(len(_ids(told)) == 1, "it finds none or several")
    hold(any(link["relation"] == "self" for link in told["link"]), "there is no self link")


@check("http.html#paging")
def pages(server: Server) -> None:
    """Pages follow one another, and each match comes once."""
    server.needs("Patient", "create", "search-type")
    system = _patients(server, 5)
    told = server.want({200}, "GET", f"Patient?identifier={system}|&_count=2")[1]
    found: list[str] = []
    for _ in range(10):
        hold(len(_ids(told)) <= 2, "a page has more than _count matches")
        found += _ids(told)
        following = [link["url"] for link in told["link"] if link["relation"] == "next"]
        if not following:
            break
        told = server.want({200}, "GET", following[0])[1]
    hold(len(found) == 5, f"{len(found)} of 5 matches came")
    hold(len(set(found)) == 5, "a match came twice")


@check("search.html#summary")
def counted(server: Server) -> None:
    """_summary=count gives the total and no entries."""
    server.needs("Patient", "create", "search-type")
    system = _patients(server, 3)
    told = server.want({200}, "GET", f"Patient?identifier={system}|&_summary=count")[1]
    hold(told["total"] == 3, "the total is another")
    hold(not told.get("entry"), "there are entries")


@check("search.html#sort")
def ordered(server: Server) -> None:
    """_sort orders, and a leading - turns the order round."""
    server.needs("Patient", "create", "search-type")
    system = _patients(server, 3)
    up = _ids(server.want({200}, "GET", f"Patient?identifier={system}|&_sort=family")[1])
    down = _ids(server.want({200}, "GET", f"Patient?identifier={system}|&_sort=-family")[1])
    hold(len(up) == 3 and up == down[::-1], "the two orders are not each other's reverse")


@check("search.html#include")
def included(server: Server) -> None:
    """_include brings what the matches refer to."""
    server.needs("Observation", "create", "search-type")
    if "Observation:subject" not in server.of_type("Observation").get("searchInclude", ()):
        raise NotClaimed("_include=Observation:subject is not claimed")
    patient = server.create({"resourceType": "Patient", "active": True})
    made = server.create(
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "suite"},
            "subject": {"reference": f"Patient/{patient['id']}"},
        }
    )
    path = f"Observation?_id={made['id']}&_include=Observation:subject"
    told = server.want({200}, "GET", path)[1]
    modes = {entry["resource"]["id"]: entry["search"]["mode"] for entry in told["entry"]}
    hold(modes.get(made["id"]) == "match", "the match is not marked as one")
    hold(modes.get(patient["id"]) == "include", "the Patient is not included")


@check("search.html#errors")
def unknown_parameter(server: Server) -> None:
    """An unknown parameter is refused where strict handling is asked for."""
    server.needs("Patient", "search-type")
    server.want({400}, "GET", "Patient?no-such-parameter=1", Prefer="handling=strict")


@check("http.html#transaction")
def transaction(server: Server) -> None:
    """A transaction resolves its own links, and writes all or nothing."""
    _system(server, "transaction")
    patient = f"urn:uuid:{uuid.uuid4()}"
    entries = [
        _entry({"resourceType": "Patient", "active": True}, patient),
        _entry(
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"text": "suite"},
                "subject": {"reference": patient},
            }
        ),
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    told = server.want({200}, "POST", "", bundle)[1]
    places = [entry["response"]["location"].split("/_history")[0] for entry in told["entry"]]
    places = ["/".join(place.split("/")[-2:]) for place in places]
    server.made.extend(places)
    observation = server.want({200}, "GET", places[1])[1]
    hold(observation["subject"]["reference"] == places[0], "the link was not resolved")
    system = f"urn:suite:{uuid.uuid4()}"
    right: Resource = {"resourceType": "Patient", "identifier": [{"system": system, "value": "1"}]}
    wrong: Resource = {"resourceType": "Patient", "gender": "no such code"}
    bundle = {**bundle, "entry": [_entry(right), _entry(wrong)]}
    server.want({400, 422}, "POST", "", bundle)
    left = server.want({200}, "GET", f"Patient?identifier={system}|1")[1]
    hold(not left.get("entry"), "a part of a refused transaction was written")


@check("http.html#transaction")
def batch(server: Server) -> None:
    """A batch answers entry by entry, whatever becomes of the others."""
    _system(server, "batch")
    entries = [
        {"request": {"method": "GET", "url": f"Patient/{uuid.uuid4()}"}},
        {"request": {"method": "GET", "url": "Patient?_count=1"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    told = server.want({200}, "POST", "", bundle)[1]
    statuses = [entry["response"]["status"][:3] for entry in told["entry"]]
    hold(statuses == ["404", "200"], f"the entries answer {', '.join(statuses)}")


def _system(server: Server, code: str) -> None:
    if code not in {one.get("code") for one in server.rest().get("interaction", ())}:
        raise NotClaimed(f"{code} is not claimed")


def _entry(resource: Resource, full_url: str = "") -> Resource:
    request = {"method": "POST", "url": resource["resourceType"]}
    made: Resource = {"resource": resource, "request": request}
    return {"fullUrl": full_url, **made} if full_url else made


@check("http.html#mime-type")
def formats(server: Server) -> None:
    """Each format that is claimed is given where it is asked for; another is 406."""
    for name in ("xml", "json"):
        if name in server.statement.get("format", ()) or any(
            name in one for one in server.statement.get("format", ())
        ):
            kind = f"application/fhir+{name}"
            response, _ = server.ask("GET", "metadata", Accept=kind)
            given = response.headers.get("Content-Type", "")
            hold(response.status_code == 200 and kind in given, f"{kind} is not given")
    response, _ = server.ask("GET", "metadata", Accept="image/png")
    hold(response.status_code == 406, f"image/png gives {response.status_code}")


CHECKS: tuple[Check, ...] = (
    by_identifier,
    pages,
    counted,
    ordered,
    included,
    unknown_parameter,
    transaction,
    batch,
    formats,
)

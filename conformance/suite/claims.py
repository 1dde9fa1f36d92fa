"""Checks that a server does what it claims, and refuses what it does not (R4 capabilitystatement.html)."""

import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from conformance.suite.asked import Check, NotClaimed, Server, check, hold

_SAMPLES = {
    "string": "a",
    "token": "a",
    "date": "2020",
    "number": "1",
    "quantity": "1",
    "uri": "urn:a",
}
_SPECIAL = ("a", "_id eq x", "1|1|1|km", "$current-problems", "true")
_REFUSED = (400, 404, 405, 422, 501)


@check("capabilitystatement.html")
def statement(server: Server) -> None:
    """The CapabilityStatement says which version of FHIR, which formats and which interactions."""
    told = server.statement
    hold(told.get("resourceType") == "CapabilityStatement", "metadata is no CapabilityStatement")
    hold(str(told["fhirVersion"]).startswith("4.0"), "the version is not R4's")
    hold(told["format"], "no format is claimed")
    hold(server.rest().get("resource"), "no resource type is claimed")


@check("capabilitystatement.html")
def definitions(server: Server) -> None:
    """Profiles and operations that are claimed can be found by their URLs."""
    if not server.rest().get("operation") and not any(_profiles(server)):
        raise NotClaimed("neither operations nor profiles are claimed")
    lost = []
    for type_, url in sorted({*_operations(server), *_profiles(server)}):
        server.needs(type_, "search-type")
        found = server.want({200}, "GET", f"{type_}?url={quote(url, safe=':/')}")[1]
        if not found.get("entry"):
            lost.append(url)
    hold(not lost, f"{len(lost)} are not found: {', '.join(lost[:5])}")


def _operations(server: Server) -> Iterator[tuple[str, str]]:
    rest = server.rest()
    for held in (rest, *rest.get("resource", ())):
        for one in held.get("operation", ()):
            yield "OperationDefinition", one["definition"].partition("|")[0]


def _profiles(server: Server) -> Iterator[tuple[str, str]]:
    for one in server.rest().get("resource", ()):
        for url in one.get("supportedProfile", ()):
            yield "StructureDefinition", url.partition("|")[0]


def parameters(most: int) -> Check:
    """Give the check that search parameters, at most so many of a random choice, are answered."""

    @check("search.html")
    def searched(server: Server) -> None:
        """Every search parameter that is claimed is answered."""
        claimed = [
            (one["type"], parameter)
            for one in server.rest().get("resource", ())
            for parameter in one.get("searchParam", ())
        ]
        refused = []
        for type_, parameter in _some(claimed, most):
            if not any(_answered(server, type_, parameter, one) for one in _samples(parameter)):
                refused.append(f"{type_}?{parameter['name']}")
        hold(not refused, f"{len(refused)} are refused: {', '.join(refused[:5])}")

    return searched


def _answered(server: Server, type_: str, parameter: Mapping[str, Any], value: str) -> bool:
    path = f"{type_}?{parameter['name']}={quote(value, safe='')}&_count=1"
    return server.ask("GET", path)[0].status_code == 200


def _samples(parameter: Mapping[str, Any]) -> Sequence[str]:
    """Give values that a parameter of the type may take; any one that is answered is enough."""
    match parameter["type"]:
        case "reference":
            return ("Patient/x", "Practitioner/x", "x")
        case "composite":
            first, second = ("a", "1", "Patient/x"), ("a", "1", "2020", "1$1")
            return tuple(f"{a}${b}" for a in first for b in second)
        case "special":
            return _SPECIAL
        case type_:
            return (_SAMPLES.get(type_, "a"),)


def _some(claimed: Sequence[Any], most: int) -> Sequence[Any]:
    chosen = random.Random(1)  # noqa: S311 - a choice that is the same each time
    return claimed if len(claimed) <= most else chosen.sample(claimed, most)


def types(most: int) -> Check:
    """Give the check that types, at most so many, do their interactions and refuse the others."""

    @check("http.html#summary")
    def interactions(server: Server) -> None:
        """Every interaction that is claimed of a type is answered, and the others are refused."""
        wrong = []
        for one in _some(list(server.rest().get("resource", ())), most):
            type_ = one["type"]
            claimed = {held["code"] for held in one.get("interaction", ())}
            for code, method, path in _probes(type_):
                status = server.ask(method, path)[0].status_code
                if not _as_claimed(status, claimed=code in claimed):
                    wrong.append(f"{code} of {type_}: {status}")
        hold(not wrong, f"{len(wrong)} are not as claimed: {', '.join(wrong[:5])}")

    return interactions


def _probes(type_: str) -> Iterator[tuple[str, str, str]]:
    """Give interactions with requests that change nothing: (code, method, path)."""
    absent = uuid.uuid4()
    yield "read", "GET", f"{type_}/{absent}"
    yield "vread", "GET", f"{type_}/{absent}/_history/1"
    yield "search-type", "GET", f"{type_}?_count=1"
    yield "history-type", "GET", f"{type_}/_history?_count=1"
    yield "delete", "DELETE", f"{type_}/{absent}"


def _as_claimed(status: int, *, claimed: bool) -> bool:
    if claimed:
        return status < 500 and status not in {400, 405}
    return status in _REFUSED


@check("http.html#summary")
def not_claimed(server: Server) -> None:
    """Types and operations that are not claimed are refused with an OperationOutcome."""
    server.want({400, 404}, "GET", "NoSuchType/1")
    server.want({400, 404}, "GET", "NoSuchType")
    server.want(
        {400, 404, 405}, "POST", "Patient/$no-such-operation", {"resourceType": "Parameters"}
    )
    server.want({400, 404, 405}, "GET", "$no-such-operation")


@check("operationdefinition.html")
def validate(server: Server) -> None:
    """$validate answers 200 with errors for what is wrong, and none for what is right."""
    names = {one["name"].lstrip("$") for one in server.of_type("Patient").get("operation", ())}
    if "validate" not in names:
        raise NotClaimed("$validate of Patient is not claimed")
    right = {"resourceType": "Patient", "active": True}
    for body, errors in ((right, False), ({**right, "gender": "no such code"}, True)):
        told = server.want({200}, "POST", "Patient/$validate", body)[1]
        hold(told["resourceType"] == "OperationOutcome", "the answer is no OperationOutcome")
        found = any(issue["severity"] in {"error", "fatal"} for issue in told["issue"])
        hold(found is errors, "a right resource is refused, or a wrong one is not")


@check("https://hl7.org/fhir/smart-app-launch/conformance.html")
def smart(server: Server) -> None:
    """What claims SMART has a smart-configuration, and refuses requests without a token."""
    services = [
        coding.get("code")
        for service in server.rest().get("security", {}).get("service", ())
        for coding in service.get("coding", ())
    ]
    if "SMART-on-FHIR" not in services:
        raise NotClaimed("SMART is not claimed")
    response, told = server.ask("GET", ".well-known/smart-configuration")
    hold(response.status_code == 200, f"smart-configuration gives {response.status_code}")
    for name in ("token_endpoint", "capabilities", "grant_types_supported"):
        hold(told.get(name), f"smart-configuration has no {name}")
    held = server.client.headers.pop("Authorization", None)
    try:
        server.want({401}, "GET", "Patient?_count=1")
    finally:
        if held is not None:
            server.client.headers["Authorization"] = held


def checks(most: int) -> tuple[Check, ...]:
    """Give the checks of claims; `most` limits how many types and parameters are tried."""
    return (
        statement,
        definitions,
        types(most),
        parameters(most),
        not_claimed,
        validate,
        smart,
    )

"""Checks of one resource's life: create, read, update, delete, versions (FHIR R4 http.html)."""

import uuid

from conformance.suite.asked import Check, NotClaimed, Server, check, hold

_PATIENT = {"resourceType": "Patient", "active": True, "name": [{"family": "Suite"}]}


@check("http.html#create")
def created(server: Server) -> None:
    """A create answers 201 with Location, and gives the resource an id and a version."""
    server.needs("Patient", "create")
    response, told = server.want({201}, "POST", "Patient", _PATIENT)
    server.made.append(f"Patient/{told['id']}")
    hold("/Patient/" in response.headers.get("Location", ""), "Location names no Patient")
    hold(told["meta"]["versionId"], "the answer has no meta.versionId")


@check("http.html#read")
def read(server: Server) -> None:
    """A read gives what was created, with an ETag of its version."""
    server.needs("Patient", "create", "read")
    made = server.create(_PATIENT)
    response, told = server.want({200}, "GET", f"Patient/{made['id']}")
    hold(told["name"] == _PATIENT["name"], "the name is another one")
    hold(told["meta"]["versionId"] in response.headers.get("ETag", ""), "ETag is not the version")


@check("http.html#read")
def absent(server: Server) -> None:
    """A read of what never was is 404 with an OperationOutcome."""
    server.needs("Patient", "read")
    server.want({404}, "GET", f"Patient/{uuid.uuid4()}")


@check("http.html#update")
def updated(server: Server) -> None:
    """An update makes a new version, and versions are read by their number."""
    server.needs("Patient", "create", "update", "read")
    made = server.create(_PATIENT)
    place = f"Patient/{made['id']}"
    told = server.want({200, 201}, "PUT", place, {**made, "active": False})[1]
    told = told or server.want({200}, "GET", place)[1]
    hold(told["meta"]["versionId"] != made["meta"]["versionId"], "the version is the same")
    server.needs("Patient", "vread")
    first = server.want({200}, "GET", f"{place}/_history/{made['meta']['versionId']}")[1]
    hold(first["active"] is True, "the first version has changed")


@check("http.html#concurrency")
def stale(server: Server) -> None:
    """An update with a stale If-Match is refused and writes nothing."""
    server.needs("Patient", "create", "update")
    if server.of_type("Patient").get("versioning") not in {"versioned", "versioned-update"}:
        raise NotClaimed("versions are not claimed")
    made = server.create(_PATIENT)
    place = f"Patient/{made['id']}"
    server.want({200}, "PUT", place, {**made, "active": False})
    etag = f'W/"{made["meta"]["versionId"]}"'
    server.want({409, 412}, "PUT", place, {**made, "gender": "other"}, If_Match=etag)
    hold("gender" not in server.want({200}, "GET", place)[1], "it was written all the same")


@check("http.html#update")
def other_id(server: Server) -> None:
    """An update whose body has another id than its URL is refused."""
    server.needs("Patient", "create", "update")
    made = server.create(_PATIENT)
    server.want({400, 422}, "PUT", f"Patient/{made['id']}", {**made, "id": "another"})


@check("http.html#delete")
def deleted(server: Server) -> None:
    """What is deleted is 410 (or 404 where versions are not kept)."""
    server.needs("Patient", "create", "delete", "read")
    made = server.create(_PATIENT)
    server.want({200, 202, 204}, "DELETE", f"Patient/{made['id']}")
    server.want({404, 410}, "GET", f"Patient/{made['id']}")
    server.want({200, 202, 204, 404, 410}, "DELETE", f"Patient/{made['id']}")


@check("http.html#history")
def history(server: Server) -> None:
    """A history has every version, the newest first."""
    server.needs("Patient", "create", "update", "history-instance")
    made = server.create(_PATIENT)
    server.want({200}, "PUT", f"Patient/{made['id']}", {**made, "active": False})
    told = server.want({200}, "GET", f"Patient/{made['id']}/_history")[1]
    hold(told["type"] == "history", "the Bundle is no history")
    kept = [entry["resource"]["active"] for entry in told["entry"]]
    hold(kept == [False, True], "the versions or their order are others")


@check("http.html#ccreate")
def created_once(server: Server) -> None:
    """A conditional create of what is there creates nothing."""
    server.needs("Patient", "create")
    if not server.of_type("Patient").get("conditionalCreate"):
        raise NotClaimed("conditionalCreate is not claimed")
    system, value = "urn:suite", str(uuid.uuid4())
    body = {**_PATIENT, "identifier": [{"system": system, "value": value}]}
    made = server.create(body)
    condition = f"identifier={system}|{value}"
    response, _ = server.want({200, 304}, "POST", "Patient", body, If_None_Exist=condition)
    found = server.want({200}, "GET", f"Patient?{condition}")[1]
    hold(len(found.get("entry", ())) == 1, "there are two now")
    hold(made["id"] in response.headers.get("Location", made["id"]), "Location is another's")


@check("http.html#patch")
def patched(server: Server) -> None:
    """A JSON Patch changes what it says and nothing else."""
    server.needs("Patient", "create", "patch")
    if "application/json-patch+json" not in server.statement.get("patchFormat", ()):
        raise NotClaimed("JSON Patch is not claimed")
    made = server.create(_PATIENT)
    patch = b'[{"op": "replace", "path": "/active", "value": false}]'
    place, kind = f"Patient/{made['id']}", "application/json-patch+json"
    server.want({200}, "PATCH", place, patch, Content_Type=kind)
    told = server.want({200}, "GET", place)[1]
    hold(told["active"] is False and told["name"] == _PATIENT["name"], "it is not as patched")


@check("validation.html")
def invalid(server: Server) -> None:
    """A resource that breaks its definition is refused with an OperationOutcome."""
    server.needs("Patient", "create")
    server.want({400, 422}, "POST", "Patient", {**_PATIENT, "gender": "no such code"})
    server.want({400, 422}, "POST", "Patient", {**_PATIENT, "noSuchElement": True})
    server.want({400, 422}, "POST", "Patient", b"{ no json")


@check("json.html")
def lossless(server: Server) -> None:
    """Decimals keep their digits, extensions and unknown codes stay."""
    server.needs("Observation", "create", "read")
    body = (
        b'{"resourceType":"Observation","status":"final","code":{"text":"s"},'
        b'"valueQuantity":{"value":1.10},"extension":[{"url":"urn:suite:e","valueString":"kept"}]}'
    )
    response, told = server.want({201}, "POST", "Observation", body)
    server.made.append(f"Observation/{told['id']}")
    response, told = server.want({200}, "GET", f"Observation/{told['id']}")
    hold(b"1.10" in response.content.replace(b" ", b""), "1.10 came back with other digits")
    hold(told["extension"][0]["valueString"] == "kept", "an extension was lost")


CHECKS: tuple[Check, ...] = (
    created,
    read,
    absent,
    updated,
    stale,
    other_id,
    deleted,
    history,
    created_once,
    patched,
    invalid,
    lossless,
)

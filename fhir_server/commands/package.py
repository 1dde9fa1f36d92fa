"""hounsfield package: FHIR packages of an installation, here or over HTTP (FHIR R4 packages.html)."""

import base64
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhir_server.command import Actions, command, refused, within
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.installation import Installation

_WAIT_S = 300


class NotFetched(Exception):
    """The package, or the server's answer, could not be had; the text says why."""


def _arguments(parser: ArgumentParser) -> None:
    actions = Actions(parser)
    add = actions.add("add", "install a package: a .tgz in NPM's form")
    add.add_argument("package", metavar="PATH|URL", help="the package's file, or where to fetch it")
    listed = actions.add("list", "list the packages, with what they depend on and is not here")
    listed.add_argument("--json", action="store_true", help="print JSON")
    remove = actions.add("remove", "remove a package and the definitions that came with it")
    remove.add_argument("name", metavar="NAME[#VERSION]", help="as list shows it")
    for action in (add, listed, remove):
        action.add_argument(
            "--base", metavar="URL", help="a running server's FHIR base, instead of --data"
        )
        action.add_argument("--token", help="access token for --base (or HOUNSFIELD_TOKEN)")
        action.add_argument("--tenant", default="default", metavar="NAME", help="with --data")


@command("package", "install, list or remove FHIR packages", configure=_arguments)
def package(given: Namespace, settings: Settings) -> int:
    """Do the action; 1 if it is refused, with the reason on standard error."""
    from resources.outcome import FhirError

    try:
        match given.action:
            case "add":
                return _add(given, settings)
            case "remove":
                return _remove(given, settings)
            case _:
                return _list(given, settings)
    except (NotFetched, FhirError) as fault:
        return refused(fault)


def _add(given: Namespace, settings: Settings) -> int:
    content = base64.b64encode(_content(given.package)).decode()
    told = _asked(given, settings, "package-install", [("content", "Base64Binary", content)])
    parameters = told["parameter"]
    values = {one["name"]: _value(one) for one in parameters}
    print(f"{values['package']}  {values['resources']} resources")
    for one in parameters:
        if one["name"] == "missing":
            print(f"hounsfield: it depends on {_value(one)}, not installed", file=sys.stderr)
    return 0


def _remove(given: Namespace, settings: Settings) -> int:
    name, _, version = given.name.partition("#")
    parameters = [("name", "String", name), *([("version", "String", version)] if version else [])]
    told = _asked(given, settings, "package-remove", parameters)
    print(f"{_value(told['parameter'][0])}  removed")
    return 0


def _list(given: Namespace, settings: Settings) -> int:
    told = _asked(given, settings, "packages", [])
    found = [_described(one) for one in told["parameter"]]
    if given.json:
        print(json.dumps(found))
        return 0
    for one in found:
        lacking = f"  lacks {', '.join(one['missing'])}" if one["missing"] else ""
        state = "" if one.get("complete", True) else "  incomplete: add or remove it again"
        print(f"{one['name']}#{one['version']}  {one.get('title', '')}{lacking}{state}")
    return 0


def _described(parameter: dict[str, Any]) -> dict[str, Any]:
    about: dict[str, Any] = {"missing": []}
    for part in parameter["part"]:
        if part["name"] == "missing":
            about["missing"].append(_value(part))
        else:
            about[part["name"]] = _value(part)
    return about


def _value(parameter: dict[str, Any]) -> Any:
    return next(value for name, value in parameter.items() if name.startswith("value"))


def _content(named: str) -> bytes:
    """Give the bytes of a package on disk or at a URL, refusing more than a package may have."""
    from conformance.packages import LARGEST

    if "://" in named:
        return _fetched(named, LARGEST)
    path = Path(named)
    if not path.is_file():
        raise NotFetched(f"{path}: no such file")
    if path.stat().st_size > LARGEST:
        raise NotFetched(f"{path}: larger than {LARGEST // 1024**2} MiB")
    return path.read_bytes()


def _fetched(url: str, largest: int) -> bytes:
    import httpx

    held = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_WAIT_S) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                held += chunk
                if len(held) > largest:
                    raise NotFetched(f"{url}: larger than {largest // 1024**2} MiB")
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise NotFetched(f"{url}: {type(fault).__name__}") from None
    return bytes(held)


def _asked(
    given: Namespace, settings: Settings, code: str, parameters: list[tuple[str, str, str]]
) -> dict[str, Any]:
    """Call an operation here or over HTTP, and give its Parameters."""
    sent = [{"name": name, f"value{type_}": value} for name, type_, value in parameters]
    body = {"resourceType": "Parameters", **({"parameter": sent} if sent else {})}
    if given.base:
        return _over_http(given, code, body)
    return within(
        settings,
        lambda house: _here(house, given.tenant, code, body),
        given.tenant,
        begins=given.action == "add",
    )


async def _here(house: "Installation", tenant: str, code: str, body: Any) -> dict[str, Any]:
    from fhir_server.interactions.dispatch import dispatch
    from fhir_server.message import FhirRequest
    from resources.model import parse, serialise

    request = FhirRequest("POST", f"${code}", body=serialise(body))
    answered: dict[str, Any] = parse((await dispatch(house.ours(tenant, "package"), request)).body)
    return answered


def _over_http(given: Namespace, code: str, body: Any) -> dict[str, Any]:
    import httpx

    token = given.token or os.environ.get("HOUNSFIELD_TOKEN")
    headers = {"Content-Type": "application/fhir+json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    url = f"{given.base.rstrip('/')}/${code}"
    try:
        response = httpx.post(url, content=json.dumps(body), headers=headers, timeout=_WAIT_S)
        answered: dict[str, Any] = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as fault:
        raise NotFetched(f"{url}: {type(fault).__name__}") from None
    if response.status_code >= 400:
        issues = answered.get("issue") or [{}]
        raise NotFetched(issues[0].get("diagnostics", f"{url}: {response.status_code}"))
    return answered

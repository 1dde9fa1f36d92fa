"""A server as the suite sees it, and what a check finds (FHIR R4 http.html)."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

FHIR = "application/fhir+json"
Verdict = Literal["passed", "failed", "skipped"]


class NotHeld(Exception):
    """What was claimed does not hold; the text says what was asked and what came."""


class NotClaimed(Exception):
    """The server does not claim what the check is about, so there is nothing to check."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check: its name, the page of the specification, and why it failed or was skipped."""

    name: str
    page: str
    verdict: Verdict
    reason: str = ""


@dataclass(slots=True)
class Server:
    """A FHIR server at a base URL, with what it claims; resources that were created are noted."""

    base: str
    client: httpx.Client
    statement: Mapping[str, Any] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    requests: int = 0

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[httpx.Response, dict[str, Any]]:
        """Send a request below the base, and give the response with its JSON (empty where it is none)."""
        sent = {"Accept": FHIR, **{name.replace("_", "-"): text for name, text in headers.items()}}
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", FHIR)
        url = (
            path if path.startswith(("http://", "https://")) else f"{self.base}/{path}".rstrip("/")
        )
        self.requests += 1
        try:
            response = self.client.request(method, url, content=content, headers=sent)
        except httpx.HTTPError as fault:
            raise NotHeld(f"{method} {path}: no answer ({type(fault).__name__})") from None
        try:
            told = response.json() if response.content else {}
        except ValueError:
            told = {}
        return response, told if isinstance(told, dict) else {}

    def want(
        self, statuses: Iterable[int], method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[httpx.Response, dict[str, Any]]:
        """Ask, and raise NotHeld for any other status; an error must come with an OperationOutcome."""
        response, told = self.ask(method, path, body, **headers)
        wanted = tuple(statuses)
        if response.status_code not in wanted:
            raise NotHeld(f"{method} {path}: {_either(wanted)} wanted, {response.status_code} came")
        if response.status_code >= 400 and told.get("resourceType") != "OperationOutcome":
            raise NotHeld(f"{method} {path}: {response.status_code} without an OperationOutcome")
        return response, told

    def create(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """Create a resource, to be deleted at the end, and give it as it was stored."""
        response, told = self.want({201}, "POST", str(resource["resourceType"]), resource)
        if not told:
            told = self.want({200}, "GET", response.headers.get("Location", ""))[1]
        self.made.append(f"{told['resourceType']}/{told['id']}")
        return told

    # --- what is claimed ---

    def rest(self) -> Mapping[str, Any]:
        """Give the server's part of the CapabilityStatement."""
        found = [one for one in self.statement.get("rest", ()) if one.get("mode") == "server"]
        return found[0] if found else {}

    def of_type(self, type_: str) -> Mapping[str, Any]:
        """Give what is claimed of a type; raises NotClaimed where nothing is."""
        for one in self.rest().get("resource", ()):
            if one.get("type") == type_:
                claimed: Mapping[str, Any] = one
                return claimed
        raise NotClaimed(f"{type_} is not claimed")

    def needs(self, type_: str, *interactions: str) -> None:
        """Raise NotClaimed unless these interactions are claimed of a type."""
        have = {one.get("code") for one in self.of_type(type_).get("interaction", ())}
        for interaction in interactions:
            if interaction not in have:
                raise NotClaimed(f"{interaction} of {type_} is not claimed")


Run = Callable[[Server], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what it claims, where the specification says so, and what runs; it raises NotHeld."""

    name: str
    page: str
    run: Run

    def __call__(self, server: Server) -> Finding:
        """Run, and tell what came of it."""
        try:
            self.run(server)
        except NotClaimed as fault:
            return Finding(self.name, self.page, "skipped", str(fault))
        except NotHeld as fault:
            return Finding(self.name, self.page, "failed", str(fault))
        except (KeyError, IndexError, TypeError) as fault:
            reason = f"an answer lacks what it must have: {type(fault).__name__} {fault}"
            return Finding(self.name, self.page, "failed", reason)
        return Finding(self.name, self.page, "passed")


def check(page: str) -> Callable[[Run], Check]:
    """Declare a check; its docstring is its name."""

    def declare(run: Run) -> Check:
        return Check((run.__doc__ or run.__name__).strip().rstrip("."), page, run)

    return declare


def hold(what: object, reason: str) -> None:
    """Raise NotHeld with a reason unless something holds."""
    if not what:
        raise NotHeld(reason)


def _either(statuses: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(statuses)))

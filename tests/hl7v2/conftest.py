"""Messages that the tests vary, and small stand-ins of the store's documents and of the server."""

import copy
from urllib.parse import parse_qsl

import pytest
from v2 import segment, text

from fhir_server.hl7v2 import message, translation
from fhir_server.hl7v2.sender import Sender
from fhir_server.store.port import Document
from resources import definitions, fhirpath_patch
from resources.fhirpath.evaluate import Evaluator
from resources.outcome import NotFound, PreconditionFailed

EVALUATOR = Evaluator(definitions.load())

ADT_A04 = (
    segment("MSH", f3="ADT", f4="HOSP", f5="HOUNSFIELD", f6="RAD", f7="20260106134418+0100",
            f9="ADT^A04^ADT_A01", f10="C1", f11="P", f12="2.5.1"),
    segment("EVN", f1="A04", f2="20260106134400+0100"),
    segment("PID", f1="1", f3="100^^^HOSP^MR~987654321^^^USSSA^SS", f5="DOE^JANE^Q^^DR^^L",
            f7="19790328", f8="F", f11="1 Main St^Apt 2^Paris^^75007^FRA^H",
            f13="0123456789^PRN^PH~^NET^Internet^jane@example.org", f16="M"),
    segment("PV1", f1="1", f2="O", f3="RAD^1^2^HOSP", f7="37^DISNEY^WALT^^^DR^^^AccMgr",
            f19="V1^^^HOSP^VN", f44="20260106134000+0100"),
)  # fmt: skip
ORM_O01 = (
    segment("MSH", f3="RIS", f4="HOSP", f5="HOUNSFIELD", f6="RAD", f7="20260106134418+0100",
            f9="ORM^O01^ORM_O01", f10="C2", f11="P", f12="2.5.1"),
    segment("PID", f1="1", f3="100^^^HOSP^MR", f5="DOE^JANE", f7="19790328", f8="F"),
    segment("PV1", f1="1", f2="O", f19="V1^^^HOSP^VN"),
    segment("ORC", f1="NW", f2="P1^PLACER", f3="F1^FILLER", f5="SC",
            f7="^^^20260107080000+0100^^S", f9="20260106134400+0100",
            f12="D1^HOUSE^GREGORY^^^DR^^^DOCS"),
    segment("OBR", f1="1", f2="P1^PLACER", f3="F1^FILLER", f4="24627-2^CT Chest^LN", f13="cough",
            f18="A1^RIS", f24="CT", f31="R05^Cough^I10"),
)  # fmt: skip


@pytest.fixture
def adt():
    """Give the lines of an ADT^A04, some replaced by their segment's name."""
    return lambda **changed: _changed(ADT_A04, changed)


@pytest.fixture
def orm():
    """Give the bytes of an ORM^O01, some segments replaced by name."""
    return lambda **changed: _changed(ORM_O01, changed)


def _changed(lines, changed):
    return text(*(changed.get(line[:3], line) for line in lines))


@pytest.fixture
def translate():
    """Translate bytes with a sender's settings, received at the beginning of 1970."""

    def run(raw, **settings):
        return translation.translate(raw, Sender(**settings), 0)

    return run


@pytest.fixture
def resources(translate):
    """Translate bytes and give the resources of a type."""

    def run(raw, type_, **settings):
        entries = translate(raw, **settings).bundle["entry"]
        return [e["resource"] for e in entries if e["resource"]["resourceType"] == type_]

    return run


@pytest.fixture
def field():
    """Give the first repetition of a field, with its text, of a message of ours."""

    def make(value):
        header = segment("MSH", f3="A", f9="ADT^A04", f10="7", f12="2.5.1")
        return message.parse(text(header, f"ZZZ|{value}"))["ZZZ"].field(1).first

    return make


class MemoryDocuments:
    """The store's documents in memory."""

    def __init__(self):
        self.kept = {}

    async def get(self, tenant, namespace, key):
        value = self.kept.get((tenant, namespace, key))
        return None if value is None else Document(key, value, 1)

    async def put(self, tenant, namespace, key, value, *, expires=None, revision=None):
        self.kept[tenant, namespace, key] = value
        return 1

    async def list(self, tenant, namespace, *, after="", limit=1000):
        keys = sorted(k for t, n, k in self.kept if (t, n) == (tenant, namespace) and k > after)
        return [Document(k, self.kept[tenant, namespace, k], 1) for k in keys[:limit]]


class MemoryDoor:
    """Transactions over a dictionary: conditional entries, links, versions; no validation."""

    def __init__(self):
        self.stored = {}
        self.commits = 0
        self.fault = None
        self.after_commit = None

    async def transact(self, tenant, bundle):
        if self.fault is not None:
            raise self.fault
        changes, links = [], {}
        for entry in copy.deepcopy(bundle["entry"]):
            method, url = entry["request"]["method"], entry["request"]["url"]
            type_, _, query = url.partition("?")
            query = entry["request"].get("ifNoneExist", query)
            found = self._matches(tenant, type_, query) if query else []
            if len(found) > 1:
                raise PreconditionFailed("several", issue="multiple-matches")
            if method == "PATCH":
                entry["resource"] = self._patched(tenant, type_, found, entry["resource"])
            if "/" in type_:
                type_, id_ = type_.split("/")
            else:
                id_ = found[0] if found else f"id-{len(self.stored) + len(changes)}"
            links[entry["fullUrl"]] = f"{type_}/{id_}"
            if not (method == "POST" and found):
                changes.append((type_, id_, entry))
        for type_, id_, entry in changes:
            resource = _linked(entry["resource"], links) | {"id": id_}
            self._write(tenant, type_, id_, resource)
        self.commits += 1
        if self.after_commit is not None:
            raise self.after_commit
        return {"resourceType": "Bundle", "type": "transaction-response"}

    def _patched(self, tenant, type_, found, parameters):
        if not found:
            raise NotFound("none")
        stored = self.stored[tenant, type_, found[0]][-1]
        return fhirpath_patch.apply(EVALUATOR, stored, fhirpath_patch.parse(parameters))

    def _write(self, tenant, type_, id_, resource):
        resource.pop("meta", None)
        versions = self.stored.setdefault((tenant, type_, id_), [])
        if not versions or versions[-1] != resource:
            versions.append(resource)

    def _matches(self, tenant, type_, query):
        ((_, token),) = parse_qsl(query)
        system, _, value = token.partition("|")
        return [
            i
            for (t, k, i), versions in self.stored.items()
            if (t, k) == (tenant, type_)
            and any(
                (x.get("system"), x["value"]) == (system, value)
                for x in versions[-1].get("identifier", ())
            )
        ]

    async def find(self, tenant, url):
        type_, _, query = url.partition("?")
        if not query:
            type_, id_ = type_.split("/")
        else:
            id_ = next(iter(self._matches(tenant, type_, query)), None)
        versions = self.stored.get((tenant, type_, id_))
        return versions and versions[-1] | {"meta": {"versionId": str(len(versions))}}

    def all(self, type_, tenant="default"):
        return [v[-1] for (t, k, _), v in self.stored.items() if (t, k) == (tenant, type_)]

    def versions(self):
        return {key: len(versions) for key, versions in self.stored.items()}


def _linked(value, links):
    if isinstance(value, dict):
        return {k: _linked(v, links) for k, v in value.items()}
    if isinstance(value, list):
        return [_linked(v, links) for v in value]
    return links.get(value, value) if isinstance(value, str) else value


@pytest.fixture
def documents():
    return MemoryDocuments()


@pytest.fixture
def door():
    return MemoryDoor()

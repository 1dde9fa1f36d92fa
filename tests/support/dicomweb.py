"""What the DICOMweb tests need: DICOM files made to measure, FHIR in memory, a served bridge."""

import asyncio
import io
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pydicom
import uvicorn
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from starlette.applications import Starlette
from starlette.routing import Mount

from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.identity import Issuer, Issuers
from dicomweb_bridge.ingest import Ingest
from dicomweb_bridge.routes import Bridge, routes
from fhir_server import access
from resources import outcome

ROOT = "1.2.826.0.1.3680043.10.1451"
BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
HOSPITAL = "urn:hounsfield:assigner:HOSP"
NOW = "2026-01-02T03:04:05.678Z"


def bundled(name):
    """Read one of pydicom's own files."""
    return (BUNDLED / name).read_bytes()


def dataset(study=1, series=1, number=1, **attributes):
    """Make a small CT slice: UIDs by number, a gradient of Hounsfield units, one patient and order."""
    made = Dataset()
    made.SOPClassUID = CTImageStorage
    made.StudyInstanceUID = f"{ROOT}.{study}"
    made.SeriesInstanceUID = f"{ROOT}.{study}.{series}"
    made.SOPInstanceUID = f"{ROOT}.{study}.{series}.{number}"
    made.PatientID = "P1"
    made.IssuerOfPatientID = "HOSP"
    made.PatientName = "Roe^Jane"
    made.StudyDate = "20260102"
    made.StudyTime = "101112.5"
    made.TimezoneOffsetFromUTC = "+0100"
    made.AccessionNumber = "A1"
    made.StudyDescription = "CT chest"
    made.Modality = "CT"
    made.SeriesNumber = series
    made.InstanceNumber = number
    made.BodyPartExamined = "CHEST"
    made.Rows, made.Columns = 16, 12
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.RescaleSlope, made.RescaleIntercept = "1", "-1024"
    made.PixelData = (np.arange(16 * 12, dtype="<i2") * 10 + number).tobytes()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def encoded(made, syntax=ExplicitVRLittleEndian):
    """Give a data set as a DICOM file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    file = FileDataset(None, made, file_meta=meta, preamble=b"\0" * 128)
    target = io.BytesIO()
    pydicom.dcmwrite(target, file, enforce_file_format=True)
    return target.getvalue()


def ct(study=1, series=1, number=1, **attributes):
    """Make a CT slice's DICOM file."""
    return encoded(dataset(study, series, number, **attributes))


async def chunked(data, size=1000):
    """Give bytes in pieces."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def parts(*files):
    """Give files as the parts of a request."""
    for data in files:
        yield chunked(data)


async def store(archive, *files, tenant="default", study=None):
    """Store files and give their outcomes."""
    return [one async for one in archive.store(tenant, parts(*files), study)]


class Fhir:
    """FHIR in memory, as far as the bridge sees it: searches by identifier and id, transactions."""

    def __init__(self):
        self.resources = {}
        self.writes = []
        self.fault = None
        self.gate = None

    def add(self, tenant="default", **resource):
        """Put a resource there."""
        self.resources[tenant, resource["resourceType"], resource["id"]] = resource

    def all(self, type_, tenant="default"):
        """Give the resources of a type."""
        return [r for (t, kind, _), r in self.resources.items() if (t, kind) == (tenant, type_)]

    def one(self, type_, tenant="default"):
        """Give the only resource of a type."""
        (found,) = self.all(type_, tenant)
        return found

    async def find(self, tenant, type_, query):
        """Search by identifier or _id."""
        ((name, text),) = query
        wanted = set(text.split(","))
        if name == "_id":
            return [r for r in self.all(type_, tenant) if r["id"] in wanted]
        return [
            r
            for r in self.all(type_, tenant)
            if {f"{i.get('system', '')}|{i['value']}" for i in r.get("identifier", ())} & wanted
        ]

    async def transact(self, tenant, bundle):
        """Run a transaction of updates."""
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        places = {}
        for entry in bundle["entry"]:
            assert entry["request"]["method"] == "PUT"
            type_, _, query = entry["request"]["url"].partition("?")
            type_, _, id_ = type_.partition("/")
            if query:
                found = await self.find(tenant, type_, parse_qsl(query))
                if len(found) > 1:
                    raise outcome.PreconditionFailed("several matches")
                id_ = found[0]["id"] if found else uuid.uuid4().hex
            places[entry["fullUrl"]] = f"{type_}/{id_}"
        for entry in bundle["entry"]:
            resource = _linked(entry["resource"], places)
            id_ = places[entry["fullUrl"]].partition("/")[2]
            self.add(tenant, **{**resource, "id": id_})
            self.writes.append(places[entry["fullUrl"]])
        return {"resourceType": "Bundle", "type": "transaction-response"}


def _linked(value, places):
    if isinstance(value, dict):
        return {k: _linked(v, places) for k, v in value.items()}
    if isinstance(value, list):
        return [_linked(one, places) for one in value]
    return places.get(value, value) if isinstance(value, str) else value


def issuers(**known):
    """Give a site whose issuers have local systems."""
    return Issuers(lambda issuer: f"urn:hounsfield:assigner:{issuer.namespace}", **known)


def ingest(archive, fhir, **known):
    """Give an ingest over FHIR in memory."""
    return Ingest(
        archive,
        fhir,
        fhir.transact,
        issuers=issuers(**known),
        address=lambda tenant: f"https://pacs.example/{tenant}/dicom-web",
        now=lambda: NOW,
    )


class Tokens:
    """An authorizer whose tokens are the names of accesses."""

    def __init__(self):
        self.known = {"all": access.everything("test")}

    async def access(self, _, headers):
        """Give the access that the bearer token names."""
        found = self.known.get(headers.get("authorization", "Bearer all").removeprefix("Bearer "))
        if found is None:
            raise outcome.Unauthorised("No such token")
        return found


class Served:
    """A bridge behind a real server on a port of its own."""

    def __init__(self, archive, fhir, tokens, **options):
        self.archive, self.fhir, self.tokens = archive, fhir, tokens
        self.seen = {}
        self.url = ""
        bridge = Bridge(
            archive,
            ingest(archive, fhir, accession=Issuer("HOSP"), zone=None),
            tokens,
            self._visible,
            lambda tenant: self.url if tenant == "default" else f"{self.root}/t/{tenant}/dicom-web",
            self._is_tenant,
            **options,
        )
        served = routes(bridge)
        self.app = Starlette(
            routes=[
                Mount("/dicom-web", routes=served),
                Mount("/t/{tenant}/dicom-web", routes=served),
            ]
        )

    async def _is_tenant(self, name):
        return name in {"default", "other"}

    async def _visible(self, _tenant, who, _study, _letter):
        return self.seen.get(who.subject)

    @property
    def root(self):
        """Give the server's own URL."""
        return self.url.removesuffix("/dicom-web")


@contextmanager
def serving(root, **options):
    """Serve a bridge over an archive below a folder, in a thread with a loop of its own."""
    archive = LocalArchive(root)
    served = Served(archive, Fhir(), Tokens(), **options)
    server = uvicorn.Server(
        uvicorn.Config(served.app, port=0, log_level="critical", lifespan="off")
    )
    ready = threading.Event()

    async def run():
        await archive.open()
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        served.url = f"http://127.0.0.1:{port}/dicom-web"
        ready.set()
        await task
        await archive.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(20)
        yield served
    finally:
        server.should_exit = True
        thread.join(20)

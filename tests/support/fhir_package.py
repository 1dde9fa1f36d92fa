"""Small FHIR packages in NPM's form, and calls that install them."""

import base64
import io
import json
import tarfile

PROFILE = "https://example.org/StructureDefinition/named"


def tgz(files):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return held.getvalue()


def manifest(**more):
    told = {"name": "test.small", "version": "1.0.0", "fhirVersions": ["4.0.1"], **more}
    return {"package/package.json": told}


def named(**more):
    return {
        "resourceType": "StructureDefinition",
        "id": "named",
        "url": PROFILE,
        "name": "Named",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient.name", "path": "Patient.name", "min": 1}]},
        **more,
    }


SMALL = {**manifest(), "package/StructureDefinition-named.json": named()}


def asked(raw):
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "content", "valueBase64Binary": base64.b64encode(raw).decode()},
        ],
    }


async def install(world, raw):
    return await world.give("POST", "$package-install", asked(raw))

"""Snapshots made of R4's differentials are those that HL7 published."""

import gzip

import pytest

from conformance.canonicals import core
from conformance.profile.element_tree import elements
from conformance.profile.snapshot import Snapshots
from resources import model

# HL7's own differs from what its differential says, each for the reason that is named
OTHERWISE = {
    "bp": "slices of value[x] below component have no snapshot there",
    "catalog": "an element twice",
    "cholesterol": "constraints of SimpleQuantity beside its profile",
    "elementdefinition-de": "children of an extension that nothing constrains",
    "familymemberhistory-genetic": "children of an extension's slice are left out",
    "hdlcholesterol": "constraints of SimpleQuantity beside its profile",
    "ldlcholesterol": "constraints of SimpleQuantity beside its profile",
    "provenance-relevant-history": "the value set of the differential is not taken over",
    "structuredefinition-json-type": "a type without a code",
    "structuredefinition-rdf-type": "a type without a code",
    "structuredefinition-xml-type": "a type without a code",
}


@pytest.fixture(scope="module")
def published(corpus):
    with gzip.open(corpus / "r4" / "definitions" / "StructureDefinition.ndjson.gz") as file:
        found = [model.parse(line) for line in file]
    return {one["url"]: one for one in found if "snapshot" in one and one["kind"] != "logical"}


def facts(listed):
    """Give what elements say, by id: cardinality, types, values, binding, constraints, slicing."""
    sliced = {e["path"] for e in listed if "sliceName" in e}
    return {e["id"]: _facts(e, sliced) for e in listed}


def _facts(e, sliced):
    return (
        *(e.get(name) for name in ("path", "sliceName", "min", "max", "contentReference")),
        [(t.get("code"), t.get("profile"), t.get("targetProfile")) for t in e.get("type", ())],
        {k: v for k, v in e.items() if k.startswith(("fixed", "pattern"))},
        {k: v for k, v in e.get("binding", {}).items() if k in {"strength", "valueSet"}},
        sorted(rule["key"] for rule in e.get("constraint", ())),
        [e.get(name, False) for name in ("mustSupport", "isSummary", "isModifier")],
        e.get("slicing", {}).get("discriminator") if e["path"] in sliced else None,
    )


def test_every_snapshot_of_r4_is_made_of_its_differential(published, record_property):
    held = {e.url: e for e in core().manifest.entries if e.type == "StructureDefinition"}
    snapshots = Snapshots(lambda url: core().resource(held[url]) if url in held else None)
    asked = [url for url in published if url in held]
    other = {
        url.rpartition("/")[2]
        for url in asked
        if facts(list(elements(snapshots.of(url)))) != facts(published[url]["snapshot"]["element"])
    }
    record_property("proof", f"R4 snapshots: {len(asked) - len(other)} of {len(asked)} are HL7's")
    assert len(asked) > 640
    assert other <= OTHERWISE.keys()


def test_what_is_shipped_is_what_hl7_published(published):
    for entry in core().manifest.entries[::7]:
        if entry.url in published:
            ours, theirs = core().resource(entry), published[entry.url]
            for name in ("url", "version", "type", "baseDefinition", "kind", "derivation"):
                assert ours.get(name) == theirs.get(name)

"""US Core of the corpus: its packages as they come, and examples with the profiles that they claim."""

import gzip

from conformance import packages
from conformance.canonicals import Canonicals, Opened, shipped
from conformance.profile.checked import ProfileChecks, claimed
from resources import definitions, model

VERSIONS = ("6.1.0", "8.0.0")
PROFILES = "http://hl7.org/fhir/us/core/StructureDefinition/"


def tgz(corpus, version):
    return (corpus / "us-core" / f"hl7.fhir.us.core-{version}-definitions.tgz").read_bytes()


def pack(corpus, version):
    return packages.read(tgz(corpus, version))


def opened(pack):
    return Opened(pack.manifest, lambda: pack.content)


def checks(*packs, loose=()):
    """Give checks against packages, beside what is shipped."""
    held = (*shipped(), *(opened(one) for one in packs))
    return ProfileChecks(definitions.load(), Canonicals(held, loose))


def examples(corpus, version):
    """Give each example with each profile that it claims."""
    with gzip.open(corpus / "us-core" / f"examples-{version}-dev.ndjson.gz") as file:
        found = [model.parse(line) for line in file]
    return [(resource, profile) for resource in found for profile in claimed(resource)]

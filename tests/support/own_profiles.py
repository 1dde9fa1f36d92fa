"""The profiles of our own package, and what is wrong with a resource by one of them."""

from conformance.canonicals import Canonicals, shipped
from conformance.profile.checked import ProfileChecks
from resources import definitions

OWN = "https://hounsfield.example/fhir/StructureDefinition/"
CHECKS = ProfileChecks(definitions.load(), Canonicals(shipped()))


def wrong(resource, profile):
    """Give what is wrong with a resource as it is stored; references inside a Bundle are its own."""
    return [i for i in CHECKS.check(resource, [OWN + profile]) if i.severity != "information"]


def resources(bundle, type_):
    """Give the resources of a type that a Bundle holds."""
    found = [entry["resource"] for entry in bundle.get("entry", ())]
    return [one for one in found if one["resourceType"] == type_]

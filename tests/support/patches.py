"""Patches that tests write."""

import base64
import json


def operation(**parts):
    """Give one operation of a FHIRPath Patch; `value` is the value[x] member, e.g. ("valueCode", "male")."""
    listed = []
    for name, value in parts.items():
        match value:
            case str():
                listed.append({"name": name, "valueString": value})
            case int():
                listed.append({"name": name, "valueInteger": value})
            case (property_, held):
                listed.append({"name": name, property_: held})
    return {"name": "operation", "part": listed}


def fhirpath_patch(*operations):
    return {"resourceType": "Parameters", "parameter": list(operations)}


def replace_patch(path, property_, value):
    return fhirpath_patch(operation(type="replace", path=path, value=(property_, value)))


def binary_patch(*operations):
    """Give a JSON Patch as an entry of a Bundle carries it."""
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": data,
    }

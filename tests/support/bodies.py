"""Small resources that tests write."""


def patient(id_=None, **more):
    resource = {"resourceType": "Patient", **more}
    return resource if id_ is None else {**resource, "id": id_}


def observation(id_, subject="Patient/p1", code="a", **more):
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "urn:codes", "code": code}]},
        "subject": {"reference": subject},
        **more,
    }


def transaction(*resources):
    """Give a transaction Bundle that puts resources by their ids."""
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
        for r in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def search_parameter(id_, expression, **more):
    """Give a SearchParameter for a token of Patients, whose code is its id."""
    return {
        "resourceType": "SearchParameter",
        "id": id_,
        "url": f"http://example.org/SearchParameter/{id_}",
        "name": "Eyes",
        "status": "active",
        "description": "The colour of the eyes",
        "code": id_,
        "base": ["Patient"],
        "type": "token",
        "expression": expression,
        **more,
    }

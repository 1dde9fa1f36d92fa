"""hounsfield tenant."""

import json

import httpx


def test_a_tenant_s_doors_open_when_it_is_added_beside_a_running_server(hounsfield, served):
    site = served.base.removesuffix("/fhir")
    data = ("--data", served.data)
    token = {}

    def status(tenant):
        return httpx.get(f"{site}/t/{tenant}/fhir/Patient", headers=token).status_code

    assert hounsfield("token", "--scope", "system/*.rs", "--tenant", "north", *data).status == 2
    added = hounsfield("tenant", "add", "north", *data)
    assert (added.status, added.out) == (0, "north  /t/north/fhir\n")
    minted = hounsfield("token", "--scope", "system/*.rs", "--tenant", "north", *data)
    token["Authorization"] = f"Bearer {minted.out.strip()}"
    assert status("north") == 200
    assert status("south") in {401, 404}
    assert httpx.get(f"{site}/fhir/Patient", headers=token).status_code == 401


def test_names_are_listed_and_taken_once(hounsfield):
    assert hounsfield("tenant", "set", "default", "--claimed-profiles", "inherit").status == 0
    assert hounsfield("tenant", "list").out == "default  /fhir\n"
    assert hounsfield("tenant", "add", "north").status == 0
    for name in ("north", "default", "North", "no/rth", ""):
        ran = hounsfield("tenant", "add", name)
        assert (ran.status, ran.out) == (1, ""), name
    listed = json.loads(hounsfield("tenant", "list", "--json").out)
    assert listed == [
        {"name": "default", "fhir": "/fhir"},
        {"name": "north", "fhir": "/t/north/fhir"},
    ]

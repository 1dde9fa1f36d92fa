"""$packages: what is shipped, what is installed, and what that depends on and is not here."""

from fhir_package import SMALL, install, manifest, tgz
from job_world import limited


async def listed(world):
    told = await world.give("GET", "$packages")
    return [
        {part["name"]: next(v for k, v in part.items() if k != "name") for part in one["part"]}
        for one in told["parameter"]
    ]


async def test_it_lists_what_is_shipped_and_what_is_installed(world):
    names = [f"{one['name']}#{one['version']}" for one in await listed(world)]
    assert names == ["hl7.fhir.r4.core#4.0.1", "hounsfield.imaging#0.1.0"]
    depends = manifest(title="Small", dependencies={"other.guide": "1.0.0"})
    await install(world, tgz({**SMALL, **depends}))
    found = (await listed(world))[-1]
    assert (found["name"], found["title"], found["missing"]) == (
        "test.small",
        "Small",
        "other.guide#1.0.0",
    )
    assert (found["resources"], found["complete"]) == (1, True)


async def test_it_needs_a_token_that_may_search_definitions(world):
    assert (await world.as_(limited(("Patient", "rs"))).call("GET", "$packages")).status == 403

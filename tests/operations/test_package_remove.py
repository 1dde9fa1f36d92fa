"""$package-remove: what came with a package goes with it, and nothing else."""

from fhir_package import PROFILE, SMALL, install, manifest, named, tgz
from job_world import limited

WRONG = {"resourceType": "Patient", "active": True}


def asked(**named_):
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": k, "valueString": v} for k, v in named_.items()],
    }


async def test_its_definitions_go_and_profiles_are_unknown_at_once(world):
    await install(world, tgz(SMALL))
    own = {**named(url="https://example.org/own"), "id": "own"}
    await world.put(own)
    told = await world.give("POST", "$package-remove", asked(name="test.small"))
    assert told["parameter"] == [{"name": "package", "valueString": "test.small#1.0.0"}]
    assert [one["id"] for one in await world.all("StructureDefinition")] == ["own"]
    outcome = await world.give("POST", f"Patient/$validate?profile={PROFILE}", WRONG)
    assert [i for i in outcome["issue"] if i["severity"] == "error"] == []
    assert "test.small" not in str(await world.give("GET", "$packages"))


async def test_of_two_versions_one_is_named_and_it_can_be_installed_again(world):
    await install(world, tgz(SMALL))
    await install(world, tgz({**SMALL, **manifest(version="2.0.0")}))
    assert (await world.call("POST", "$package-remove", asked(name="test.small"))).status == 409
    await world.give("POST", "$package-remove", asked(name="test.small", version="1.0.0"))
    assert [one["id"] for one in await world.all("StructureDefinition")] == ["named-2.0.0"]
    await install(world, tgz(SMALL))
    assert len(await world.all("StructureDefinition")) == 2


async def test_what_is_not_installed_is_404_and_needs_a_token_for_everything(world):
    assert (await world.call("POST", "$package-remove", asked(name="none"))).status == 404
    someone = world.as_(limited(("*", "rs")))
    assert (await someone.call("POST", "$package-remove", asked(name="none"))).status == 403


async def test_a_large_package_is_removed_whole(world):
    many = {
        f"package/StructureDefinition-{n}.json": {**named(url=f"{PROFILE}-{n}"), "id": f"n{n}"}
        for n in range(230)
    }
    await install(world, tgz({**SMALL, **many}))
    assert len(await world.all("StructureDefinition", "_elements=id")) == 231
    await world.give("POST", "$package-remove", asked(name="test.small"))
    assert await world.all("StructureDefinition") == []

"""$package-install: what it stores, whom it refuses, what it makes of broken packages."""

import time

import pytest
import us_core
from fhir_package import PROFILE, SMALL, asked, install, manifest, named, tgz
from job_world import limited


async def test_its_definitions_can_be_searched_and_used_at_once(world):
    assert (await install(world, tgz(SMALL)))["parameter"] == [
        {"name": "package", "valueString": "test.small#1.0.0"},
        {"name": "resources", "valueInteger": 1},
    ]
    (found,) = await world.all("StructureDefinition", f"url={PROFILE}")
    assert found["id"] == "named-1.0.0"
    told = await world.give(
        "POST", f"Patient/$validate?profile={PROFILE}", {"resourceType": "Patient", "active": True}
    )
    (issue,) = [i for i in told["issue"] if i["severity"] == "error"]
    assert issue["expression"] == ["Patient.name"]


async def test_two_versions_stand_side_by_side_and_each_is_asked_by_its_version(world):
    await install(
        world, tgz({**SMALL, "package/StructureDefinition-named.json": named(version="1")})
    )
    later = named(version="2", differential={"element": [{"path": "Patient.gender", "min": 1}]})
    second = {**manifest(version="2.0.0"), "package/StructureDefinition-named.json": later}
    await install(world, tgz(second))
    for version, place in (("1", "Patient.name"), ("2", "Patient.gender"), ("", "Patient.gender")):
        profile = f"{PROFILE}|{version}" if version else PROFILE
        told = await world.give(
            "POST",
            f"Patient/$validate?profile={profile}",
            {"resourceType": "Patient", "active": True},
        )
        assert [i["expression"] for i in told["issue"] if i["severity"] == "error"] == [[place]]


async def test_what_it_depends_on_and_is_not_here_is_named(world):
    depends = manifest(dependencies={"hl7.fhir.r4.core": "4.0.1", "other.guide": "3.1.0"})
    told = await install(world, tgz({**SMALL, **depends}))
    assert told["parameter"][-1] == {"name": "missing", "valueString": "other.guide#3.1.0"}


@pytest.mark.parametrize(
    "raw",
    [
        b"no archive",
        tgz({"package/StructureDefinition-named.json": named()}),
        tgz(manifest(fhirVersions=["5.0.0"])),
        tgz(manifest(name="../../etc")),
        tgz(manifest(version="1 0")),
    ],
    ids=["no archive", "no manifest", "of R5", "a name that is a path", "a version with a space"],
)
async def test_what_is_no_package_for_r4_is_refused(world, raw):
    response = await world.call("POST", "$package-install", asked(raw))
    assert response.status == 400
    assert await world.all("StructureDefinition") == []


async def test_files_outside_the_package_folder_are_not_looked_at(world):
    files = {**manifest(), "package/example/Patient-1.json": {"resourceType": "Patient", "id": "1"}}
    files["../../StructureDefinition-named.json"] = named()
    told = await install(world, tgz(files))
    assert told["parameter"][1]["valueInteger"] == 0


async def test_it_needs_a_token_that_may_do_everything(world):
    someone = world.as_(limited(("StructureDefinition", "cruds")))
    assert (await someone.call("POST", "$package-install", asked(tgz(SMALL)))).status == 403


async def test_us_core_is_installed_in_seconds(world, corpus, size, record_property):
    for version in us_core.VERSIONS[: size(1, 2)]:
        begun = time.process_time()
        told = await install(world, us_core.tgz(corpus, version))
        took = time.process_time() - begun
        count = told["parameter"][1]["valueInteger"]
        record_property("proof", f"US Core {version} installed, {count} resources: {took:.1f} s")
        assert count > 200
        assert took < 10
    profile = f"{us_core.PROFILES}us-core-patient"
    wrong = {"resourceType": "Patient", "gender": "female", "name": [{"family": "A"}]}
    told = await world.give("POST", f"Patient/$validate?profile={profile}", wrong)
    assert "Patient.identifier" in [e for i in told["issue"] for e in i.get("expression", ())]

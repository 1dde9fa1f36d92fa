"""Whatever deletes, and by whatever words, the audit trail names each that is gone, and its patient."""

import pytest
from bodies import observation, patient, transaction
from msgspec.structs import replace

from fhir_server.audit.following import Following
from fhir_server.audit.journal import Journal
from fhir_server.audit.trail import Trail
from fhir_server.subjects import Subjects

KEY = bytes(32)
TWO = {("Observation/o0", ("p0",)), ("Observation/o1", ("p1",))}
ONE = {("Observation/o0", ("p0",))}
BASE = "http://test.example/fhir"


class Told:
    """A door whose accesses are kept, and what its trail tells of them."""

    def __init__(self, door, folder):
        self.door = door
        self.journal = Journal(folder, KEY)
        trail = Trail(self.journal, door.context.services.clock)
        services = replace(door.context.services, audit=trail)
        self.kept = type(door)(replace(door.context, services=services))
        subjects = Subjects(lambda _: door.context)
        store = door.context.services.store
        self.following = Following((folder, KEY), store, subjects, self._tell, "here")
        self._accesses = []

    async def _tell(self, _tenant, accessed):
        self._accesses += accessed

    async def deletions(self):
        """Give the accesses that deleted."""
        while await self.following.once():
            pass
        return [one for one in self._accesses if one.record.act == "delete"]

    async def gone(self):
        """Give what the accesses that deleted name, without versions, each with its patients."""
        return {(one.entities[0].split("/_")[0], one.patients) for one in await self.deletions()}


@pytest.fixture
async def told(door, tmp_path):
    held = [patient(f"p{n}") for n in range(2)]
    held += [observation(f"o{n}", f"Patient/p{n}", code=f"c{n}") for n in range(2)]
    await door.holding(held)
    made = Told(door.with_policy(delete_several=True), tmp_path / "audit")
    yield made
    made.journal.close()


@pytest.mark.parametrize(
    ("url", "gone"),
    [
        ("Observation/o0", ONE),
        (f"{BASE}/Observation/o0", ONE),
        ("Observation?code=urn:codes|c0", ONE),
        ("Observation?code=urn:codes|c0,urn:codes|c1", TWO),
    ],
)
@pytest.mark.parametrize("kind", ["", "batch", "transaction"])
async def test_every_deletion_names_what_is_gone_and_its_patient(told, kind, url, gone):
    if kind:
        entries = [{"request": {"method": "DELETE", "url": url}}]
        answered = await told.kept.give(
            "POST", "", {"resourceType": "Bundle", "type": kind, "entry": entries}
        )
        assert answered["entry"][0]["response"]["status"] == "204"
    else:
        answered = await told.kept.call("DELETE", url.removeprefix(f"{BASE}/"))
        assert answered.status == 204
    assert await told.gone() == gone
    assert len(await told.deletions()) == len(gone)


@pytest.mark.parametrize("kind", ["", "batch", "transaction"])
async def test_a_condition_that_deletes_nothing_is_told_as_asked(told, kind):
    url = "Observation?code=urn:codes%7Cnone&status=final"
    if kind:
        asked = transaction() | {"type": kind}
        asked["entry"] = [{"request": {"method": "DELETE", "url": url}}]
        await told.kept.give("POST", "", asked)
    else:
        await told.kept.call("DELETE", url.replace("%7C", "|"))
    (one,) = await told.deletions()
    assert (one.entities, one.record.path, one.record.query) == (
        (),
        "Observation",
        (("code", "urn:codes|none"), ("status", "final")),
    )


async def test_a_transaction_names_all_that_its_entries_delete_and_what_they_write(told):
    condition = "Observation?code=urn:codes|c0,urn:codes|c1"
    entries = [
        {"request": {"method": "PUT", "url": "Patient/p9"}, "resource": patient("p9")},
        {"request": {"method": "DELETE", "url": condition}},
        {"request": {"method": "DELETE", "url": "Patient/p1"}},
        {"request": {"method": "DELETE", "url": "Patient/never"}},
    ]
    await told.kept.give(
        "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    )
    assert await told.gone() == TWO | {("Patient/p1", ("p1",)), ("Patient/never", ("never",))}

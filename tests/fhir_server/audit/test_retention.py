"""What was kept long enough goes: journal files, how far they were told, their AuditEvents."""

import os
import time

import pytest

from fhir_server import app
from fhir_server.access import everything
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import Settings


@pytest.fixture
async def house(tmp_path):
    settings = Settings(data=tmp_path, auth="open", audit_retention_days=30)
    async with app.installation(settings, "http://here.example") as made:
        yield made


async def count(house):
    context = house.context("default", everything("test"))
    asked = FhirRequest("GET", "AuditEvent", (("_summary", "count"),))
    return (await dispatch(context, asked)).body


async def told(house):
    while await house.audit.following.once():
        pass


async def test_what_is_old_goes_and_what_is_not_stays(house, tmp_path):
    house.audit.trail._clock = lambda: (time.time_ns() // 1_000_000) - 40 * 86_400_000
    house.audit.trail.event("default", "auth", "login", 200, subject="long ago")
    house.audit.trail._clock = lambda: time.time_ns() // 1_000_000
    house.audit.trail.event("default", "auth", "login", 200, subject="now")
    await told(house)
    assert b'"total":2' in await count(house)
    first, second = sorted((tmp_path / "audit").glob("*.journal"))
    os.utime(first, (0, time.time() - 40 * 86_400))
    await house.audit.sweep(["default"])
    assert not first.exists()
    assert second.exists()
    await told(house)
    found = await house.audit.verify()
    assert found.faults == ()
    context = house.context("default", everything("test"))
    left = await dispatch(context, FhirRequest("GET", "AuditEvent"))
    assert b"long ago" not in left.body
    assert b"was kept long enough" in left.body


async def test_a_tampered_journal_is_told_by_readiness(house, tmp_path):
    house.audit.trail.event("default", "auth", "login", 200, subject="mallory")
    (path,) = (tmp_path / "audit").glob("*.journal")
    path.write_bytes(path.read_bytes().replace(b"mallory", b"alicexx"))
    assert house.audit.state() == "ok"
    await told(house)
    assert "do not prove" in (await house.own_health())["audit trail"]
    assert (await house.audit.verify()).faults

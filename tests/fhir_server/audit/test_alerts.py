"""Alerts: many patients in a short time, off hours, a broken glass; each told once a day."""

import time

import pytest

from conformance.validate import Validator
from fhir_server.audit.alerts import Alerts, Rules
from fhir_server.audit.record import Record
from resources import definitions

NOW = 1_790_000_000_000


class Told:
    """What was raised, each once."""

    def __init__(self):
        self.resources = {}

    async def __call__(self, _tenant, resources):
        for one in resources:
            self.resources.setdefault((one["resourceType"], one["id"]), one)

    def kinds(self):
        return sorted(
            one["subtype"][0]["code"]
            for (type_, _), one in self.resources.items()
            if type_ == "AuditEvent"
        )


def record(at=NOW, user="Practitioner/1", **more):
    return Record(at, "default", "fhir", "read", more.pop("status", 200), "s1", "app", user, **more)


@pytest.fixture
def told():
    return Told()


async def test_many_patients_in_a_short_time_raise_one_alert_and_one_flag(told):
    alerts = Alerts(Rules(10), told, "https://here.example")
    for number in range(30):
        await alerts(record(NOW + number), (f"p{number}",))
    assert told.kinds() == ["many-patients"]
    validator = Validator(definitions.load())
    for one in told.resources.values():
        assert not [i for i in validator.check(one) if i.severity == "error"]
    assert {type_ for type_, _ in told.resources} == {"AuditEvent", "Flag"}


async def test_the_same_patients_again_or_over_a_long_time_raise_none(told):
    alerts = Alerts(Rules(10), told, "")
    for number in range(100):
        await alerts(record(NOW + number), (f"p{number % 5}",))
        await alerts(record(NOW + number * 120_000, "Practitioner/2"), (f"p{number}",))
    assert told.kinds() == []


async def test_a_service_and_a_refusal_are_not_watched(told):
    alerts = Alerts(Rules(1), told, "")
    for number in range(5):
        await alerts(record(user=""), (f"p{number}",))
        await alerts(record(status=404), (f"p{number}",))
    assert not told.resources


async def test_a_look_outside_working_hours_raises_one(told):
    hour = time.localtime(NOW / 1000).tm_hour
    outside = (0, hour) if hour else (1, 24)
    alerts = Alerts(Rules(10, outside), told, "")
    await alerts(record(), ("p1",))
    await alerts(record(), ("p2",))
    assert told.kinds() == ["off-hours"]
    inside = Alerts(Rules(10, (hour, hour + 1)), told, "")
    await inside(record(user="Practitioner/3"), ("p1",))
    assert told.kinds() == ["off-hours"]


async def test_every_patient_behind_a_broken_glass_is_told(told):
    alerts = Alerts(Rules(10), told, "")
    for patient in ("p1", "p2", "p1"):
        await alerts(record(purpose="found unconscious"), (patient,))
    assert told.kinds() == ["broken-glass", "broken-glass"]

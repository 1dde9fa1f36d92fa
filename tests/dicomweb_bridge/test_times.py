"""DICOM dates and times as FHIR dateTime."""

from zoneinfo import ZoneInfo

import pytest

from dicomweb_bridge import times

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("day", "time", "offset", "zone", "expected"),
    [
        ("20260102", "101112", "+0100", None, "2026-01-02T10:11:12+01:00"),
        ("20260102", "101112.120", "-0330", BERLIN, "2026-01-02T10:11:12.120-03:30"),
        ("20260102", "1011", "", BERLIN, "2026-01-02T10:11:00+01:00"),
        ("20260702", "1011", "", BERLIN, "2026-07-02T10:11:00+02:00"),
        ("20260102", "101112", "", None, "2026-01-02"),
        ("20260102", "10", "+0100", None, "2026-01-02"),
        ("20260102", "", "+0100", None, "2026-01-02"),
        ("20260102", "256199", "+0100", None, "2026-01-02"),
        ("20260102", "101112", "+9999", None, "2026-01-02"),
        ("2026.01.02", "", "", None, "2026-01-02"),
        ("20260230", "101112", "+0100", None, None),
        ("", "101112", "+0100", None, None),
        ("garbage!", "", "", None, None),
    ],
)
def test_a_time_has_the_precision_that_is_known_and_never_a_guessed_zone(
    day, time, offset, zone, expected
):
    assert times.date_time(day, time, offset, zone) == expected

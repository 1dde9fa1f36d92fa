"""HL7 v2 times keep precision and offset, and without a known zone that of a date."""

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.hl7v2 import times
from fhir_server.hl7v2.times import Zone

NOWHERE = Zone()
PARIS = Zone("Europe/Paris")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1988", "1988"),
        ("198808", "1988-08"),
        ("19880818", "1988-08-18"),
        ("198808181126+0215", "1988-08-18T11:26:00+02:15"),
        ("20210817151943.4+0200", "2021-08-17T15:19:43.4+02:00"),
        ("20210817151943.1230-0500", "2021-08-17T15:19:43.1230-05:00"),
        ("2021081715+0200", "2021-08-17"),
        ("20161231235960+0000", "2016-12-31T23:59:60+00:00"),
        ("20210817151943", "2021-08-17"),
        ("20210817151943+9900", "2021-08-17"),
    ],
)
def test_precision_and_offset_are_kept(value, expected):
    assert times.date_time(value, NOWHERE) == expected


@pytest.mark.parametrize(
    "value",
    ["", "20211301", "20210230", "0000", "abc", "202", "20210817256199", "2021-08-17", "٢٠٢١"],
)
def test_what_is_no_date_is_none(value):
    assert times.date_time(value, PARIS) is None
    assert times.day(value) is None or value == "20210817256199"


def test_a_time_without_zone_takes_the_senders_zone_at_that_time_of_year():
    assert times.date_time("20260106134418", PARIS) == "2026-01-06T13:44:18+01:00"
    assert times.date_time("20260706134418", PARIS) == "2026-07-06T13:44:18+02:00"


def test_a_configured_zone_may_be_an_offset():
    assert times.date_time("20260706134418", Zone("+05:30")) == "2026-07-06T13:44:18+05:30"
    assert times.date_time("20260706134418", Zone("-03:00", "2026+0100")).endswith("-03:00")
    with pytest.raises(ValueError, match="match"):
        Zone("+5")


def test_without_a_configured_zone_that_of_msh_7_counts():
    zone = Zone(None, "20260106134418+0100")
    assert times.date_time("20260706134418", zone) == "2026-07-06T13:44:18+01:00"
    assert times.date_time("20260706134418", Zone("UTC", "20260106134418+0100")).endswith("+00:00")
    assert times.date_time("20260706134418", Zone(None, "20260106134418")) == "2026-07-06"


def test_the_day_is_as_written_whatever_the_zone():
    assert times.day("198808182359-1000") == "1988-08-18"


_DATE_TIME = re.compile(
    r"\d{4}(-\d\d(-\d\d(T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]((0\d|1[0-3]):[0-5]\d|14:00)))?)?)?"
)


@given(st.from_regex(r"[0-9]{4,14}(\.[0-9]{1,4})?([+-][0-9]{4})?", fullmatch=True))
def test_whatever_comes_out_is_a_fhir_date_time(value):
    found = times.date_time(value, PARIS)
    assert found is None or _DATE_TIME.fullmatch(found)


@given(st.datetimes())
def test_a_full_time_says_the_same_moment(moment):
    found = times.date_time(f"{moment.year:04}{moment:%m%d%H%M%S}-0330", NOWHERE)
    assert datetime.fromisoformat(found).replace(tzinfo=None) == moment.replace(microsecond=0)

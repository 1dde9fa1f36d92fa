"""Dates as intervals, implied precision, normalised strings (FHIR R4 search.html)."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.datatypes import (
    DAY,
    MAX_INSTANT,
    MIN_INSTANT,
    instant,
    interval,
    normal,
    period,
    precision,
    timing,
)

INTERVALS = [
    ("2024", "2024-01-01T00:00:00.000Z", "2024-12-31T23:59:59.999Z"),
    ("2023-02", "2023-02-01T00:00:00.000Z", "2023-02-28T23:59:59.999Z"),
    ("2024-02", "2024-02-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z"),
    ("2024-02-29", "2024-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z"),
    ("2024-02-29T10:05", "2024-02-29T10:05:00.000Z", "2024-02-29T10:05:59.999Z"),
    ("2024-02-29T10:05Z", "2024-02-29T10:05:00.000Z", "2024-02-29T10:05:59.999Z"),
    ("2024-02-29T10:05:07", "2024-02-29T10:05:07.000Z", "2024-02-29T10:05:07.999Z"),
    ("2024-02-29T10:05:07Z", "2024-02-29T10:05:07.000Z", "2024-02-29T10:05:07.999Z"),
    ("2024-02-29T00:30:00+01:00", "2024-02-28T23:30:00.000Z", "2024-02-28T23:30:00.999Z"),
    ("2024-02-28T23:30:00-05:30", "2024-02-29T05:00:00.000Z", "2024-02-29T05:00:00.999Z"),
    ("2024-02-29T10:05:07.5Z", "2024-02-29T10:05:07.500Z", "2024-02-29T10:05:07.599Z"),
    ("2024-02-29T10:05:07.25Z", "2024-02-29T10:05:07.250Z", "2024-02-29T10:05:07.259Z"),
    ("2024-02-29T10:05:07.123Z", "2024-02-29T10:05:07.123Z", "2024-02-29T10:05:07.123Z"),
    ("2024-02-29T10:05:07.123999+02:00", "2024-02-29T08:05:07.123Z", "2024-02-29T08:05:07.123Z"),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z", "2017-01-01T00:00:00.999Z"),
    ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59.000Z", "1969-12-31T23:59:59.999Z"),
    ("0001", "0001-01-01T00:00:00.000Z", "0001-12-31T23:59:59.999Z"),
]
NO_DATES = [
    "",
    "24",
    "2024-13",
    "2024-1-1",
    "2023-02-29",
    "2024-02-29T10",
    "2024-02-29T24:00:00Z",
    "2024-02-29T10:60:00Z",
    "2024-02-29T10:05:61Z",
    "2024-02-29 10:05:07Z",
    "2024-02-29T10:05:07+25:00",
    "2024-W09-4T10:05:07+01:00",
    "20240229T100507Z",
    "0000",
    "٢٠٢٤",
    "2024-02-29T10:05:07.Z",
    "2024\n",
]


@pytest.mark.parametrize(("text", "low", "high"), INTERVALS)
def test_a_date_covers_all_it_leaves_open(text, low, high):
    assert tuple(map(instant, interval(text))) == (low, high)


@pytest.mark.parametrize("text", NO_DATES)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ValueError, match=r"not a|must be|out of range"):
        interval(text)


def test_dates_at_the_ends_of_the_calendar_have_instants():
    assert interval("0001-01-01T00:00:00+14:00")[0] == interval("0001")[0] - 14 * 3_600_000
    assert interval("9999-12-31T23:59:59-14:00")[1] == interval("9999")[1] + 14 * 3_600_000


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001
def test_an_instant_is_where_the_calendar_puts_it(moment):
    text = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    low, high = interval(text.isoformat(timespec="milliseconds") + "Z")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert low == high == (text.replace(tzinfo=UTC) - epoch) // (epoch.resolution * 1000)


@given(st.dates())
def test_days_follow_each_other_without_gap_or_overlap(day):
    low, high = interval(day.isoformat())
    assert high - low == DAY - 1
    assert interval(day.isoformat()[:7])[0] <= low <= high <= interval(day.isoformat()[:4])[1]


def test_a_period_without_an_end_is_open():
    assert period({"start": "2024"}) == (interval("2024")[0], MAX_INSTANT)
    assert period({"end": "2024"}) == (MIN_INSTANT, interval("2024")[1])
    assert period({"start": "2024-01", "end": "2024-02"}) == (
        interval("2024-01")[0],
        interval("2024-02")[1],
    )
    assert period({"extension": []}) is None


def test_a_timing_is_its_outer_limits():
    events = {"event": ["2024-03-01", None, "2024-01-01", "2024-02-01"]}
    assert timing(events) == (interval("2024-01-01")[0], interval("2024-03-01")[1])
    bounds = {"repeat": {"boundsPeriod": {"start": "2023", "end": "2025"}, "frequency": 1}}
    assert timing({**events, **bounds}) == (interval("2023")[0], interval("2025")[1])
    assert timing({"repeat": {"frequency": 1}}) is None


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("1e2", "95", "105"),
        ("5.40e-3", "0.005395", "0.005405"),
        ("0", "-0.5", "0.5"),
        ("-2.5", "-2.55", "-2.45"),
    ],
)
def test_a_number_means_what_its_digits_say(text, low, high):
    assert precision(Decimal(text)) == (Decimal(low), Decimal(high))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e400", "1e-999999999", "1e999999999"])
def test_a_number_that_no_double_holds_is_refused(text):
    with pytest.raises(ValueError, match=r"can be compared"):
        precision(Decimal(text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  van  der\tBerg ", "van der berg"),
        ("MÜLLER", "muller"),
        ("Núñez", "nunez"),
        ("Straße", "strasse"),
        ("İzmir", "izmir"),
        ("O'Brien-Smith", "o'brien-smith"),
        ("山田", "山田"),
        ("ﬁne", "fine"),
        ("", ""),
    ],
)
def test_strings_are_compared_without_case_accents_and_spacing(text, wanted):
    assert normal(text) == wanted


@given(st.text())
def test_normal_text_stays_as_it_is(text):
    assert normal(normal(text)) == normal(text)

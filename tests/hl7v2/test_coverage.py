"""What no map reads is listed by place and reason, and never by value."""

import pytest
from v2 import segment

from fhir_server.hl7v2 import coverage, message, message_map, translation
from fhir_server.hl7v2.coverage import Gap


def places(done):
    return [gap.place for gap in done.coverage.gaps]


def test_a_message_that_is_read_whole_has_no_gaps(adt, orm, translate):
    assert places(translate(adt())) == []
    assert places(translate(orm())) == []
    outcome = translate(adt()).coverage.outcome()
    assert outcome["issue"][0]["severity"] == "information"


def test_segments_fields_repetitions_and_parts_without_map_are_told(adt, translate):
    pid = segment(
        "PID",
        f3="1^^^HOSP^MR^^^^^JURISDICTION",
        f5="DOE^JANE",
        f6="A~B",
        f10="2106-3",
        f11="x^^^^^^H&7",
    )
    done = translate(adt(PID=pid) + b"NK1|1|ROE\rNK1|2|POE\rZZ1|x\r")
    assert places(done) == ["PID-3.10", "PID-6[2]", "PID-10", "PID-11.7.2", "NK1", "NK1[2]", "ZZ1"]
    assert done.coverage.counts() == {"PID": 4, "NK1": 2, "ZZ1": 1}


def test_no_gap_holds_a_value(adt, translate):
    raw = adt(PID=segment("PID", f3="1^^^HOSP", f5="DOE", f10="SECRET")) + b"NK1|1|SECRET\r"
    assert "SECRET" not in str(translate(raw).coverage)


def test_the_outcome_is_a_warning_a_gap(adt, translate):
    outcome = translate(adt() + b"NK1|1|ROE\r").coverage.outcome()
    assert outcome["issue"] == [
        {
            "severity": "warning",
            "code": "incomplete",
            "diagnostics": "NK1: no map reads this segment",
        }
    ]


def test_empty_and_null_content_is_no_gap(adt, translate):
    assert places(translate(adt() + b'NK1||""|\rPD1\r')) == []


def test_a_wrong_character_set_is_told(adt, translate):
    raw = adt(PID=segment("PID", f3="1^^^HOSP", f5="MÜLLER")).decode().encode("latin-1")
    assert places(translate(raw)) == ["MSH-18"]


def test_the_second_segment_of_a_name_is_told_by_its_count(orm, translate):
    done = translate(orm() + b"ORC|NW|P2|F2|||X\rOBR|2||||||||||||||X\r")
    assert places(done) == ["ORC[2]-6", "OBR[2]-15"]


def test_every_read_place_is_remembered_once():
    found = message.parse(b"MSH|^~\\&|A|B|||1||ADT^A04|7|P|2.5\rPID|1||1^^^H&2&ISO~2\r")
    pid = found["PID"]
    pid.value("3.4.2")
    gaps = list(coverage.unread(found))
    assert [gap.place for gap in gaps if gap.segment == "PID"] == [
        "PID-1",
        "PID-3.1",
        "PID-3.4.1",
        "PID-3.4.3",
        "PID-3[2]",
    ]
    assert all(isinstance(gap, Gap) for gap in gaps)


def test_a_map_is_found_by_type_and_event_and_two_of_one_event_are_refused():
    maps = translation.standard_maps()
    assert set(maps.declared) == {("ADT", "A01"), ("ADT", "A04"), ("ADT", "A08"), ("ORM", "O01")}
    assert all(found.title for found in maps.declared.values())
    declared = message_map.message_map("ADT", "A99")(lambda *_: None)
    with pytest.raises(message_map.TwoMaps, match="ADT"):
        message_map.Maps([declared, declared])

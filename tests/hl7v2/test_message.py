"""Lenient, lossless reading of messages, checked against the `hl7` package and with generated garbage."""

import hl7
import hl7apy.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.hl7v2 import message
from fhir_server.hl7v2.refusal import Refusal, SegmentMissing, Unreadable, UnsupportedMessage

ADT = (
    "MSH|^~\\&|ADT|HOSP|HOUNSFIELD|RAD|20260106134418+0100||ADT^A04^ADT_A01|42|P|2.5.1\r"
    "EVN|A04|20260106134400\r"
    "PID|1||100^^^HOSP&1.2.3&ISO^MR~200^^^USSSA^SS||DOE&VAN^JANE^Q\r"
    "PV1|1|O\r"
)


def read(text: str) -> message.Message:
    return message.parse(text.encode())


def test_values_are_found_by_field_component_and_subcomponent():
    pid = read(ADT)["PID"]
    assert pid.value("5.1") == "DOE"
    assert pid.value("5.1.2") == "VAN"
    assert pid.value("5.2") == "JANE"
    assert pid.value("3.4.2") == "1.2.3"
    assert pid.value("99.9.9") == ""


def test_repetitions_are_kept_apart_and_counted_from_one():
    repetitions = read(ADT)["PID"].field(3).repetitions
    assert [(r.index, r.value(1), r.value(5)) for r in repetitions] == [
        (1, "100", "MR"),
        (2, "200", "SS"),
    ]


def test_field_numbers_of_msh_are_those_of_the_standard():
    header = read(ADT).header
    assert header.value("1") == "|"
    assert header.field(2).raw == "^~\\&"
    assert header.field(2).repetitions[0].raw == "^~\\&"
    assert header.value("9.2") == "A04"
    assert header.value("12") == "2.5.1"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r", "\n\n"])
def test_segments_end_in_cr_lf_or_both(end):
    found = read(ADT.replace("\r", end))
    assert [segment.name for segment in found] == ["MSH", "EVN", "PID", "PV1"]


def test_framing_and_a_byte_order_mark_are_no_part_of_the_message():
    found = message.parse(b"\x0b\xef\xbb\xbf" + ADT.encode() + b"\x1c\r")
    assert found.header.value("10") == "42"


def test_a_byte_order_mark_alone_is_skipped():
    assert message.parse(b"\xef\xbb\xbf" + ADT.encode()).control_id == "42"


def test_a_line_that_begins_no_segment_continues_the_field_before_it():
    found = read(ADT.replace("PV1|1|O\r", "NTE|1||first\nsecond line\nPV1|1|O\r"))
    assert found["NTE"].value("3") == "first\nsecond line"
    assert found["PV1"].value("2") == "O"


def test_other_separators_are_taken_from_msh():
    found = read("MSH$%*!@$A$B$$$1$$ADT%A04$7$P$2.5\rPID$$$1%%%H@1.2@ISO*2\r")
    assert found.control_id == "7"
    assert found["PID"].value("3.4.2") == "1.2"
    assert [r.value(1) for r in found["PID"].field(3).repetitions] == ["1", "2"]


def test_absent_escape_and_subcomponent_characters_separate_nothing():
    found = read("MSH|^~|A|B|||1||ADT^A04|7|P|2.5\rPID|||1&2\\F\\\r")
    assert found["PID"].value("3") == "1&2\\F\\"


@pytest.mark.parametrize(
    ("raw", "read_as"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f"),
        (r"one\.br\two", "one\ntwo"),
        (r"one\.BR\two", "one\ntwo"),
        (r"one\.sp2\two", "one\n\ntwo"),
        (r"\H\loud\N\ quiet", "loud quiet"),
        (r"caf\XC3A9\ ", "café"),
        (r"\Xzz\ stays", r"\Xzz\ stays"),
        (r"\Zlocal\ stays", r"\Zlocal\ stays"),
        (r"ends\F", r"ends\F"),
        (r"a\\b", r"a\\b"),
        (r"\E\F\E\ ", r"\F" + "\\"),
    ],
)
def test_escape_sequences(raw, read_as):
    found = read(f"MSH|^~\\&|A|B|||1||ADT^A04|7|P|2.5||||||UNICODE UTF-8\rNTE|1||{raw}\r")
    assert found["NTE"].value("3") == read_as.strip()


def test_null_is_empty_and_outer_spaces_go():
    found = read(ADT.replace("DOE&VAN^JANE^Q", '""^  JANE ^""'))
    assert found["PID"].value("5.1") == ""
    assert found["PID"].value("5.2") == "JANE"


def test_groups_are_cut_before_each_segment_of_a_name():
    found = read(ADT + "ORC|NW|1\rOBR|1|1\rNTE|1||x\rORC|NW|2\rOBR|1|2\r")
    head, groups = found.groups("ORC")
    assert [s.name for s in head] == ["MSH", "EVN", "PID", "PV1"]
    assert [[s.name for s in group] for group in groups] == [["ORC", "OBR", "NTE"], ["ORC", "OBR"]]
    assert groups[1]["OBR"].value("2") == "2"
    assert groups[1]["OBR"].location(4) == "OBR[2]-4"


def test_an_absent_segment_is_a_refusal_that_names_it():
    with pytest.raises(SegmentMissing, match="ZZZ") as refusal:
        read(ADT)["ZZZ"]
    assert refusal.value.erl == "ZZZ^1"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x0b\x1c\r",
        b"PID|1",
        b"MSH",
        b"MSHA^~\\&|",
        b"MSH |",
        b"MSH|^^~|",
        b"hello",
        b"\x00\xff",
    ],
)
def test_what_is_no_message_is_unreadable(raw):
    with pytest.raises(Unreadable):
        message.parse(raw)


def test_two_messages_in_one_frame_are_refused_rather_than_one_of_them_lost():
    with pytest.raises(Unreadable) as refusal:
        read(ADT + ADT)
    assert refusal.value.location == "MSH[2]"


def test_a_batch_is_refused_as_such():
    with pytest.raises(UnsupportedMessage):
        read("FHS|^~\\&|A\rBHS|^~\\&|A\r" + ADT + "BTS|1\rFTS|1\r")


def test_a_file_is_split_into_its_messages():
    text = "FHS|^~\\&|A\rBHS|^~\\&|A\r" + ADT + ADT.replace("|42|", "|43|") + "BTS|2\rFTS|1\r"
    found = [message.parse(each) for each in message.split(text.encode())]
    assert [each.control_id for each in found] == ["42", "43"]
    assert [each.segments[-1].name for each in found] == ["PV1", "PV1"]
    framed = b"\x0b" + ADT.encode() + b"\x1c\r\x0b" + ADT.encode() + b"\x1c\r"
    assert len(message.split(framed)) == 2
    assert message.split(b"no message") == ()


def test_the_text_of_a_message_is_its_segments_as_sent():
    assert read(ADT).text == ADT
    assert read(ADT.replace("\r", "\n")).text == ADT


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_a_refusal(data):
    for raw in (data, b"MSH|^~\\&|" + data, b"MSH" + data):
        try:
            found = message.parse(raw)
        except Refusal:
            continue
        for segment in found:
            for number in range(len(segment.fields)):
                for repetition in segment.field(number).repetitions:
                    repetition.text()
                    for component in repetition.components:
                        assert isinstance(component.value(2), str)


_TEXT = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12)
_LINES = st.lists(st.lists(_TEXT, min_size=1, max_size=6), max_size=5)


@given(_LINES)
def test_nothing_of_a_message_is_lost_by_reading_it(lines):
    body = [f"ZZ{n}|" + "|".join(fields).strip() for n, fields in enumerate(lines)]
    text = "".join(f"{line}\r" for line in ["MSH|^~\\&|A|B|||1||ADT^A04|7|P|2.5", *body])
    found = message.parse(text.encode())
    assert "".join(f"{segment.raw}\r" for segment in found) == text
    for segment, line in zip(found.segments[1:], body, strict=True):
        assert "|".join(field for field in segment.fields) == line


_SAFE = st.text(st.sampled_from("abcXYZ 019.-'éß"), max_size=8)
_FIELDS = st.lists(st.lists(_SAFE, min_size=1, max_size=4), min_size=1, max_size=5)


@given(st.lists(_FIELDS, min_size=1, max_size=4))
def test_parts_are_where_the_hl7_package_finds_them(segments):
    lines = ["MSH|^~\\&|A|B|||1||ADT^A04|7|P|2.5||||||UNICODE UTF-8"]
    lines += [
        f"ZZ{n}|" + "|".join("^".join(parts) for parts in fields)
        for n, fields in enumerate(segments)
    ]
    text = "\r".join(lines) + "\r"
    ours, theirs = message.parse(text.encode()), hl7.parse(text)
    for n, fields in enumerate(segments):
        name = f"ZZ{n}"
        for f, parts in enumerate(fields, 1):
            for c in range(1, len(parts) + 1):
                whole = len(parts) == 1
                expected = theirs.segment(name)[f] if whole else theirs.segment(name)[f][0][c - 1]
                assert ours[name].value(f"{f}.{c}") == str(expected).strip()


def test_parts_are_where_hl7apy_finds_them():
    theirs = hl7apy.parser.parse_message(ADT, find_groups=False)
    ours = read(ADT)
    pid = theirs.pid
    assert ours["PID"].value("5.1.1") == pid.pid_5.xpn_1.fn_1.to_er7()
    assert ours["PID"].value("5.2") == pid.pid_5.xpn_2.to_er7()
    assert ours["PID"].value("3.4.2") == pid.pid_3[0].cx_4.hd_2.to_er7()
    assert ours["PID"].field(3).repetitions[1].value(5) == pid.pid_3[1].cx_5.to_er7()

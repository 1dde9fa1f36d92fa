"""hounsfield translate."""

import gzip
import json


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_each_message_of_a_file_becomes_a_bundle_and_an_outcome(hounsfield, file, message):
    framed = b"\x0b" + message("C1") + b"\x1c\r\x0b" + message("C2") + b"\x1c\r"
    both = [
        file("plain.hl7", (message("C1") + message("C2")).replace(b"\r", b"\n")),
        file("framed.hl7", framed),
    ]
    for path in both:
        ran = hounsfield("translate", path)
        assert ran.status == 0
        bundles = lines(ran.out)
        assert [bundle["type"] for bundle in bundles] == ["transaction", "transaction"]
        patients = [
            entry["resource"]["identifier"][0]["value"]
            for bundle in bundles
            for entry in bundle["entry"]
            if entry["resource"]["resourceType"] == "Patient"
        ]
        assert patients == ["C1", "C2"]
        outcomes = lines(ran.err)
        assert [outcome["resourceType"] for outcome in outcomes] == ["OperationOutcome"] * 2


def test_what_is_not_mapped_is_told_by_its_place(hounsfield, file, message):
    path = file("gap.hl7", message() + b"ZZZ|1|secret\r")
    ran = hounsfield("translate", path)
    assert ran.status == 0
    (outcome,) = lines(ran.err)
    assert any(issue["diagnostics"].startswith("ZZZ") for issue in outcome["issue"])
    assert "secret" not in ran.err


def test_a_refused_message_is_told_and_the_others_are_translated(hounsfield, file, message):
    path = file("mixed.hl7", message("C1", "XXX^A04") + message("C2"))
    ran = hounsfield("translate", path)
    assert ran.status == 1
    assert len(lines(ran.out)) == 1
    refused, taken = lines(ran.err)
    assert refused["issue"][0]["severity"] == "error"
    assert f"{path}:1: MSH-9.1: " in refused["issue"][0]["diagnostics"]
    assert "ZIMT" not in ran.err
    assert all(issue["severity"] != "error" for issue in taken["issue"])


def test_a_file_without_messages_is_an_error_and_one_that_is_not_there_could_not(
    hounsfield, file, tmp_path
):
    ran = hounsfield("translate", file("empty.hl7", b"nothing here\n"))
    assert (ran.status, ran.out) == (1, "")
    assert "none begins with MSH" in ran.err
    assert hounsfield("translate", tmp_path / "nowhere.hl7").status == 2


def test_a_folder_gives_its_messages_compressed_ones_too(hounsfield, file, message, tmp_path):
    (tmp_path / "in").mkdir()
    file("in/a.hl7", message("C1"))
    file("in/b.hl7.gz", gzip.compress(message("C2")))
    file("in/readme.txt", b"no message")
    assert len(lines(hounsfield("translate", tmp_path / "in").out)) == 2


def test_times_without_a_zone_take_the_one_that_is_set_and_nothing_is_stored(
    hounsfield, file, message, tmp_path
):
    path = file("one.hl7", message())
    assert "13:40:00+01:00" not in hounsfield("translate", path).out
    assert "13:40:00+01:00" in hounsfield("translate", "--default-zone", "+01:00", path).out
    assert not (tmp_path / "hounsfield-data").exists()

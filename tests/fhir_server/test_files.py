"""Files that cannot be read, or not to their end: a problem with its place, whatever they hold."""

import gzip

import pytest

from fhir_server.files import files, messages, texts

LINE = b'{"resourceType":"Patient"}\n'


def cut(packed):
    return packed[: len(packed) // 2]


def damaged(packed):
    return packed[:10] + b"\xff" * 4 + packed[14:]


@pytest.mark.parametrize("harm", [cut, damaged, lambda packed: packed[3:]])
def test_a_harmed_gz_is_a_problem(tmp_path, harm):
    resources, v2 = tmp_path / "a.ndjson.gz", tmp_path / "a.hl7.gz"
    resources.write_bytes(harm(gzip.compress(LINE * 1000)))
    v2.write_bytes(harm(gzip.compress(b"MSH|^~\\&|A\r" * 1000)))
    assert "cannot be read" in list(texts(resources))[-1].problem
    (found,) = messages(v2)
    assert "cannot be read" in found.problem


def test_files_of_other_endings_are_passed_over_and_told(tmp_path, capsys):
    for name in (
        "a.ndjson",
        "b.xml",
        "c.txt",
        ".hidden.json",
        "d/e.json",
        *(f"x{n}" for n in range(5)),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(LINE)
    assert files([tmp_path]) == [tmp_path / "a.ndjson", tmp_path / "d" / "e.json"]
    told = capsys.readouterr().err
    assert told.startswith(f"hounsfield: 7 files ({tmp_path / 'b.xml'}, {tmp_path / 'c.txt'}, ")
    assert ", …) passed over: no name ends in .json .ndjson" in told
    assert ".hidden" not in told


def test_a_folder_of_other_endings_alone_is_no_folder_of_resources(tmp_path, capsys):
    assert files([tmp_path]) == []
    (tmp_path / "b.xml").write_bytes(LINE)
    with pytest.raises(FileNotFoundError, match=r"1 file \(.*b.xml\) passed over"):
        files([tmp_path])
    assert files([tmp_path / "b.xml"]) == [tmp_path / "b.xml"]
    assert capsys.readouterr().err == ""

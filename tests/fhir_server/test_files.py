"""Files that cannot be read, or not to their end: a problem with its place, whatever they hold."""

import gzip

import pytest

from fhir_server.files import messages, texts

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

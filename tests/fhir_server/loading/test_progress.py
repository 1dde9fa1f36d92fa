"""How far loads were: for one target alone, never lower, whoever else loads and whatever the file holds."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_server.loading.progress import Progress


@pytest.fixture
def file(tmp_path):
    return tmp_path / "load.json"


def test_what_is_behind_in_one_target_is_not_in_another(file):
    Progress(file, "one").advance("mark", 5)
    assert Progress(file, "one").done("mark") == 5
    assert Progress(file, "two").done("mark") == 0


def test_a_place_is_never_taken_back(file):
    progress = Progress(file, "one")
    progress.advance("mark", 5)
    progress.advance("mark", 0)
    assert progress.done("mark") == 5


@pytest.mark.parametrize("content", [b"", b'{"a":', b"[1]", b'{"a":"b"}', b"\xff"])
def test_a_damaged_file_knows_of_nothing_and_is_written_anew(file, content):
    file.write_bytes(content)
    progress = Progress(file, "one")
    assert progress.done("mark") == 0
    progress.advance("mark", 1)
    assert Progress(file, "one").done("mark") == 1


def test_what_several_keep_at_once_is_kept_of_all(file):
    def keep(number):
        for place in range(1, 21):
            Progress(file, "one").advance(f"mark {number}", place)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(4)))
    assert [Progress(file, "one").done(f"mark {number}") for number in range(4)] == [20] * 4
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_is_forgotten_is_forgotten_of_the_named_files_in_one_target(file):
    one, two = Progress(file, "one"), Progress(file, "two")
    for progress in (one, two):
        progress.advance("a", 5)
        progress.advance("b", 5)
    one.forget(["a"])
    assert (one.done("a"), one.done("b"), two.done("a")) == (0, 5, 5)

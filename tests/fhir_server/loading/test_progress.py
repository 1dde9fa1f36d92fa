"""How far loads were: for one target alone, never lower, whoever else loads and whatever the file holds."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_server.loading.progress import Behind, Progress


@pytest.fixture
def file(tmp_path):
    return tmp_path / "load.json"


def test_what_is_behind_in_one_target_is_not_in_another(file):
    Progress(file, "one").advance("mark", 5)
    assert Progress(file, "one").behind("mark").place == 5
    assert Progress(file, "two").behind("mark").place == 0


def test_a_place_is_never_taken_back(file):
    progress = Progress(file, "one")
    progress.advance("mark", 5)
    progress.advance("mark", 0)
    assert progress.behind("mark").place == 5


@pytest.mark.parametrize("content", [b"", b'{"a":', b"[1]", b'{"a":"b"}', b"\xff"])
def test_a_damaged_file_knows_of_nothing_and_is_written_anew(file, content):
    file.write_bytes(content)
    progress = Progress(file, "one")
    assert progress.behind("mark").place == 0
    progress.advance("mark", 1)
    assert Progress(file, "one").behind("mark").place == 1


def test_what_several_keep_at_once_is_kept_of_all(file):
    def keep(number):
        for place in range(1, 21):
            Progress(file, "one").advance(f"mark {number}", place)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(4)))
    assert [Progress(file, "one").behind(f"mark {number}").place for number in range(4)] == [20] * 4
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_is_forgotten_is_forgotten_of_the_named_files_in_one_target(file):
    one, two = Progress(file, "one"), Progress(file, "two")
    for progress in (one, two):
        progress.advance("a", 5)
        progress.advance("b", 5)
    one.forget(["a"])
    assert (one.behind("a").place, one.behind("b").place, two.behind("a").place) == (0, 5, 5)


def test_what_was_refused_is_kept_with_the_first_reasons_and_counted_once(file):
    progress = Progress(file, "one")
    progress.advance("mark", 4, [(2, "a"), (2, "b"), (3, "c")])
    progress.advance("mark", 4, [(2, "a")])
    progress.advance("mark", 9, [(n, "d" * 1000) for n in range(1000)])
    behind = Progress(file, "one").behind("mark")
    assert (behind.place, behind.refused, behind.lines) == (9, 1003, 1002)
    assert behind.first[:3] == ((2, "a"), (2, "b"), (3, "c"))
    assert len(behind.first) == 50
    assert file.stat().st_size < 20_000


def test_what_an_earlier_version_kept_is_understood(file):
    Progress(file, "one").advance("mark", 5)
    ((name, _),) = json.loads(file.read_bytes()).items()
    file.write_text(json.dumps({name: 7}))
    assert Progress(file, "one").behind("mark") == Behind(7)

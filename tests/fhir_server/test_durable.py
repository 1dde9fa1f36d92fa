"""The names in a folder are brought to the disk by the folder's own descriptor, which is closed again."""

import os

import pytest

from fhir_server.durable import sync_folder


@pytest.fixture
def synced(monkeypatch):
    """The descriptors that were synced, each with the file that it was of."""
    found = []
    real = os.fsync

    def watched(descriptor):
        found.append((descriptor, os.fstat(descriptor).st_ino))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return found


def test_the_folder_itself_is_synced_and_closed(tmp_path, synced):
    sync_folder(tmp_path)
    ((descriptor, inode),) = synced
    assert inode == tmp_path.stat().st_ino
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_file_is_no_folder(tmp_path, synced):
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "a")
    assert synced == []

"""`hounsfield serve`: what keeps it from beginning is said in a sentence, and the exit status is 2."""

import pytest
from served import Served

FREE = ("--port", "0", "--mllp-port", "off", "--dimse-port", "off")


@pytest.mark.parametrize("data", ["/proc/nope", "file"])
def test_a_folder_that_cannot_be_made_is_said(hounsfield, file, data):
    path = file("file", b"") if data == "file" else data
    ran = hounsfield("serve", *FREE, "--data", path)
    assert ran.status == 2
    assert ran.err.startswith(f"hounsfield: data: {path} cannot be made")


@pytest.mark.parametrize("names", [("missing", "missing"), ("empty", "empty")])
def test_a_certificate_that_cannot_be_used_is_said(hounsfield, file, tmp_path, names):
    file("empty", b"")
    cert, key = (tmp_path / name for name in names)
    tls = ("--tls-cert", cert, "--tls-key", key)
    ran = hounsfield("serve", *FREE, *tls, "--data", tmp_path / "d")
    assert ran.status == 2
    assert "tls_cert and tls_key: " in ran.err


@pytest.mark.parametrize("command", [("keys", "rotate"), ("token", "--scope", "system/*.rs")])
def test_commands_without_a_store_say_it_too(hounsfield, command):
    ran = hounsfield(*command, "--data", "/proc/nope")
    assert ran.status == 2
    assert "data: /proc/nope cannot be used" in ran.err


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A server whose store lies in a folder of its own; gives it and the store's file."""
    folder = tmp_path_factory.mktemp("elsewhere")
    file = folder / "store" / "all.sqlite"
    server = Served(folder / "data", "--store", f"sqlite:///{file}")
    yield server, file
    assert server.stop() == 0


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "several"])
def test_a_store_has_one_server_whatever_its_data_folder_is(elsewhere, hounsfield, workers):
    _, file = elsewhere
    with pytest.raises(AssertionError, match=f"store: another server serves {file} already"):
        Served(file.parent / "other", "--store", f"sqlite:///{file}", *workers)


def test_a_store_has_one_server_by_whichever_name_it_is_called(elsewhere, hounsfield, tmp_path):
    _, file = elsewhere
    (tmp_path / "link").symlink_to(file.parent)
    ran = hounsfield(
        "serve", *FREE, "--auth", "open", "--data", tmp_path / "d",
        "--store", f"sqlite:///{tmp_path}/link/all.sqlite",
    )  # fmt: skip
    assert (ran.status, "another server serves" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "command",
    [
        ("load", "one.ndjson"),
        ("check",),
        ("reindex",),
        ("backup", "copy"),
        ("export", "--history", "--out", "moved"),
        ("tenant", "list"),
    ],
    ids=lambda command: command[0],
)
def test_commands_work_on_a_store_that_is_served(elsewhere, hounsfield, file, command):
    server, store = elsewhere
    file("one.ndjson", b'{"resourceType":"Patient","id":"p1"}\n')
    ran = hounsfield(*command, "--data", server.data, "--store", f"sqlite:///{store}")
    assert (ran.status, ran.err.count("another server")) == (0, 0)


def test_a_lock_that_cannot_be_had_is_said(hounsfield, tmp_path):
    (tmp_path / "d" / "store.sqlite-serving").mkdir(parents=True)
    ran = hounsfield("serve", *FREE, "--auth", "open", "--data", tmp_path / "d")
    assert ran.status == 2
    assert "store.sqlite-serving cannot be locked: " in ran.err

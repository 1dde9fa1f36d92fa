"""A command that only looks, or works on what is there, makes nothing in a folder that has no store."""

import pytest

from fhir_server import commands, registry
from fhir_server.cli import parser
from fhir_server.command import Command

LOOKS = {
    "audit verify": (),
    "backup": ("copy",),
    "client list": (),
    "client remove": ("x",),
    "export": ("--history", "--out", "moved"),
    "keys list": (),
    "package list": (),
    "package remove": ("x",),
    "reindex": (),
    "tenant list": (),
    "user list": (),
    "user remove": ("x",),
    "user second-factor": ("x", "--reset"),
}
"""What refuses to begin where there is no installation, with what must be given besides."""
ELSE = {
    "check": "tells that there is nothing, which is not wrong",
    "client add": "an installation may begin with it",
    "client invite": "an installation may begin with it",
    "demo": "makes an installation of its own",
    "keys rotate": "an installation may begin with it",
    "load": "an installation may begin with it",
    "model list": "needs no installation",
    "model verify": "needs no installation",
    "package add": "an installation may begin with it",
    "restore": "makes an installation",
    "send": "needs no installation",
    "serve": "makes an installation",
    "settings": "needs no installation",
    "tenant add": "an installation may begin with it",
    "tenant set": "an installation may begin with it",
    "token": "an installation may begin with it",
    "translate": "needs no installation",
    "user add": "an installation may begin with it",
    "validate": "needs no installation",
}


def names():
    """Give every command, those with actions by each of these."""
    found = tuple(registry.discover(commands, Command, "fhir_server.commands"))
    (listed,) = parser(found)._subparsers._group_actions
    for name, one in listed.choices.items():
        actions = one._subparsers._group_actions[0].choices if one._subparsers else [""]
        yield from (f"{name} {action}".strip() for action in actions)


def test_every_command_is_known_to_look_or_not():
    assert sorted(names()) == sorted([*LOOKS, *ELSE])


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "an empty folder"])
@pytest.mark.parametrize("name", LOOKS)
def test_what_only_looks_makes_no_store(hounsfield, tmp_path, name, there):
    data = tmp_path / "mistyped"
    if there:
        data.mkdir()
    ran = hounsfield(*name.split(), *LOOKS[name], "--data", data)
    assert ran.status == 2
    assert ran.err.startswith("hounsfield: ")
    assert str(data) in ran.err
    assert ran.out == ""
    assert data.exists() == there
    assert not there or not list(data.iterdir())


@pytest.mark.parametrize("command", [("check",), ("validate", "a.json")], ids=lambda one: one[0])
def test_what_looks_where_there_may_be_nothing_makes_nothing_either(
    hounsfield, file, tmp_path, command
):
    file("a.json", b'{"resourceType":"Patient"}')
    (tmp_path / "empty").mkdir()
    assert hounsfield(*command, "--data", tmp_path / "empty").status == 0
    assert not list((tmp_path / "empty").iterdir())


def test_check_tells_of_a_store_that_is_gone(hounsfield, tmp_path):
    (tmp_path / "d" / "blobs").mkdir(parents=True)
    for arguments in (
        ("--data", tmp_path / "d"),
        ("--data", tmp_path / "x", "--store", "sqlite:///y"),
    ):
        ran = hounsfield("check", *arguments)
        assert (ran.status, "does not exist" in ran.out) == (1, True)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("backup", "afile"), 1),
        (("restore", "afile"), 1),
        (("export", "--history", "--out", "afile"), 2),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)
def test_a_file_where_a_folder_is_wanted_is_told_in_a_sentence(hounsfield, file, command, status):
    file("afile", b"")
    assert hounsfield("tenant", "add", "north").status == 0
    data = ("--data", "new") if command[0] == "restore" else ()
    ran = hounsfield(*command, *data)
    assert ran.status == status
    assert "afile" in ran.err
    assert "Errno" not in ran.err

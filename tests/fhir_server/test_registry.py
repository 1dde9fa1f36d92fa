"""Discovery: declarations of a package, then those of plug-ins."""

import sys
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace

import pytest

from fhir_server import registry


@dataclass(frozen=True)
class Planet:
    name: str


class NamesPlanet:
    value = "others:saturn"

    def __init__(self, loaded):
        self.loaded = loaded

    def load(self):
        return self.loaded


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "planets_declared"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "kinds.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Kind:\n    name: str\n"
    )
    (folder / "mars.py").write_text(
        "from planets_declared.kinds import Kind\nmars = Kind('Mars')\n_hidden = Kind('?')\n"
    )
    (folder / "venus.py").write_text(
        "from planets_declared.mars import Kind, mars\nvenus = Kind('Venus')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("planets_declared")
    for name in [n for n in sys.modules if n.startswith("planets_declared")]:
        del sys.modules[name]


def test_public_declarations_are_found_once_each_in_module_order(package):
    kind = import_module("planets_declared.kinds").Kind
    found = [value.name for value in registry.discover(package, kind, "planets")]
    assert found == ["Mars", "Venus"]


def test_a_plug_in_s_declaration_follows_ours(package, monkeypatch):
    kind = import_module("planets_declared.kinds").Kind
    entries = {"planets": [NamesPlanet(kind("Saturn"))]}
    monkeypatch.setattr(registry, "entry_points", lambda group: entries[group])
    assert [v.name for v in registry.discover(package, kind, "planets")] == [
        "Mars",
        "Venus",
        "Saturn",
    ]


def test_a_plug_in_that_declares_something_else_is_refused(package, monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: [NamesPlanet(SimpleNamespace())])
    with pytest.raises(registry.NotADeclaration, match="others:saturn in planets is not a Planet"):
        list(registry.discover(package, Planet, "planets"))

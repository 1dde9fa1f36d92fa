"""Which store the settings name, and what is said where it cannot be had."""

import sys
from pathlib import Path

import pytest

from fhir_server.app import stores
from fhir_server.search.parameters import SearchParameters
from fhir_server.settings import SettingsError, load
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.sqlite.store import SqliteStore
from resources import definitions

PARAMETERS = SearchParameters(definitions.load())


def chosen(tmp_path: Path, store: str | None):
    settings, _ = load({"data": str(tmp_path / "data"), "store": store}, {})
    return stores.chosen(settings, PARAMETERS)


@pytest.mark.parametrize("url", ["mongodb://h/x?replicaSet=r", "mongodb://h"])
def test_a_mongodb_url_names_the_mongodb_store(tmp_path, url):
    assert isinstance(chosen(tmp_path, url), MongoStore)


def test_the_embedded_store_is_the_default_and_its_folder_is_made(tmp_path):
    assert isinstance(chosen(tmp_path, None), SqliteStore)
    assert isinstance(chosen(tmp_path, f"sqlite:///{tmp_path}/new/s.sqlite"), SqliteStore)
    assert (tmp_path / "data").is_dir()
    assert (tmp_path / "new").is_dir()


def test_without_pymongo_a_mongodb_url_is_refused_with_what_to_install(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("fhir_server.store.mongo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with pytest.raises(SettingsError, match=r"pip install 'hounsfield\[mongo\]'"):
        chosen(tmp_path, "mongodb://h/x")
    assert isinstance(chosen(tmp_path, None), SqliteStore)

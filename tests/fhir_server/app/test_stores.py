"""Which store the settings name, and what is said where it cannot be had."""

import sys
from pathlib import Path

import pytest

from fhir_server.app import stores
from fhir_server.search.parameters import SearchParameters
from fhir_server.settings import SettingsError, load
from fhir_server.store.mongo import connection
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


@pytest.mark.parametrize("name", ["b.ad", "b%2Ead"])
def test_a_database_that_mongodb_cannot_have_is_refused(name):
    with pytest.raises(SettingsError, match="no dot"):
        connection.connect(f"mongodb://h1,h2/{name}?replicaSet=r")


@pytest.mark.parametrize("option", ["bogusOption=1", "connectTimeoutMS=soon"])
def test_an_option_that_means_nothing_is_refused_by_its_name(option):
    with pytest.raises(SettingsError, match=option.partition("=")[0]):
        connection.connect(f"mongodb://h/x?{option}")


def test_a_folder_of_a_store_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be made"):
        chosen(tmp_path, f"sqlite:///{tmp_path}/file/s.sqlite")

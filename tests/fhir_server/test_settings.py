"""Settings: precedence, origins, what is refused."""

from pathlib import Path

import pytest

from fhir_server.settings import SETTINGS, Settings, SettingsError, load, shown


def toml(folder: Path, text: str) -> Path:
    path = folder / "hounsfield.toml"
    path.write_text(text)
    return path


def test_without_anything_every_setting_has_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings, origins = load({}, {})
    assert settings == Settings()
    assert set(origins.values()) == {"default"}
    assert list(origins) == [setting.name for setting in SETTINGS]


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(tmp_path):
    path = toml(tmp_path, 'port = 1\nworkers = 2\nlog_level = "debug"\n')
    environ = {"HOUNSFIELD_PORT": "11", "HOUNSFIELD_WORKERS": "12"}
    settings, origins = load({"port": "111", "auth": None}, environ, path)
    assert (settings.port, settings.workers, settings.log_level) == (111, 12, "debug")
    assert origins["port"] == "--port"
    assert origins["workers"] == "HOUNSFIELD_WORKERS"
    assert origins["log_level"] == "hounsfield.toml"
    assert origins["auth"] == "default"


def test_the_file_of_the_working_folder_is_read(tmp_path, monkeypatch):
    toml(tmp_path, 'mllp_port = "off"\ntrusted_proxies = ["10.0.0.0/8", "::1/128"]\n')
    monkeypatch.chdir(tmp_path)
    settings, _ = load({}, {})
    assert settings.mllp_port is None
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")


def test_a_flag_that_takes_several_values_takes_them_as_a_list():
    settings, _ = load({"trusted_proxies": ["10.0.0.0/8", "192.168.0.0/16"]}, {})
    assert settings.trusted_proxies == ("10.0.0.0/8", "192.168.0.0/16")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "0", 0),
        ("mllp_port", "off", None),
        ("dimse_port", "104", 104),
        ("max_body_bytes", "64MiB", 64 * 1024 * 1024),
        ("max_body_bytes", "1000", 1000),
        ("public_url", "https://ris.example/", "https://ris.example"),
        ("archive", "https://pacs.example/dicom-web/", "https://pacs.example/dicom-web"),
        ("store", "sqlite:///a/b.sqlite", "sqlite:///a/b.sqlite"),
        ("data", "a/b", Path("a/b")),
        ("default_zone", "Europe/Berlin", "Europe/Berlin"),
        ("default_zone", "-03:30", "-03:30"),
        ("unknown_parameters", "lenient", "lenient"),
        ("understood_modifiers", "http://a/b, urn:c:d", ("http://a/b", "urn:c:d")),
    ],
)
def test_text_becomes_a_value_of_its_type(name, text, value):
    settings, _ = load({name: text}, {})
    assert getattr(settings, name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "٣"),
        ("port", "eighty"),
        ("host", " "),
        ("mllp_port", "none"),
        ("workers", "0"),
        ("auth", "none"),
        ("max_body_bytes", "0"),
        ("max_body_bytes", "1TB"),
        ("public_url", "ris.example"),
        ("public_url", "https://ris.example/path"),
        ("public_url", "ftp://ris.example"),
        ("store", "postgres://x"),
        ("archive", "remote"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("default_zone", "Mars/Olympus"),
        ("default_zone", "../etc/passwd"),
        ("log_level", "INFO"),
        ("understood_modifiers", "http://a/b,c"),
    ],
)
def test_text_that_is_no_value_is_refused_naming_where_it_came_from(name, text):
    with pytest.raises(SettingsError, match=f"--{name.replace('_', '-')}: .* is wanted"):
        load({name: text}, {})


def test_an_unknown_line_of_the_file_is_refused_by_name(tmp_path):
    with pytest.raises(SettingsError, match="no such setting: prot"):
        load({}, {}, toml(tmp_path, "prot = 80\n"))


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="is not TOML"):
        load({}, {}, toml(tmp_path, "port: 80\n"))


def test_a_named_file_that_is_absent_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load({}, {}, tmp_path / "absent.toml")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "ris.example"])
def test_open_access_is_refused_on_any_address_but_loopback(host):
    with pytest.raises(SettingsError, match="open is refused"):
        Settings(host=host, auth="open")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_open_access_is_allowed_on_loopback(host):
    assert Settings(host=host, auth="open").auth == "open"


def test_smart_on_another_address_needs_https():
    with pytest.raises(SettingsError, match="needs HTTPS"):
        Settings(host="0.0.0.0")
    with pytest.raises(SettingsError, match="needs HTTPS"):
        Settings(host="0.0.0.0", public_url="https://ris.example")
    Settings(host="0.0.0.0", tls_cert=Path("a.pem"), tls_key=Path("b.pem"))
    Settings(host="0.0.0.0", public_url="https://ris.example", trusted_proxies=("10.0.0.0/8",))


def test_a_certificate_without_its_key_is_refused():
    with pytest.raises(SettingsError, match="go together"):
        Settings(tls_cert=Path("a.pem"))


def test_a_page_larger_than_its_limit_is_refused():
    with pytest.raises(SettingsError, match="page_size"):
        Settings(page_size=11, page_limit=10)


def test_the_embedded_store_is_under_the_data_folder():
    assert Settings(data=Path("/srv/h")).store_url == "sqlite:////srv/h/store.sqlite"
    assert Settings(store="mongodb://db/h").store_url == "mongodb://db/h"


def test_a_password_in_a_url_is_never_shown():
    assert shown("mongodb://hounsfield:s3cret@db:27017/h") == "mongodb://hounsfield:***@db:27017/h"
    assert shown(("10.0.0.0/8", "::1/128")) == "10.0.0.0/8,::1/128"
    assert shown(None) == ""


def test_a_refused_store_url_does_not_tell_its_password():
    with pytest.raises(SettingsError) as refused:
        load({"store": "postgres://u:s3cret@db/h"}, {})
    assert "s3cret" not in str(refused.value)


def test_the_ehr_simulator_is_there_on_loopback_or_where_it_is_asked_for():
    assert Settings().simulates_ehr
    assert not Settings(ehr_simulator="off").simulates_ehr
    public = Settings(public_url="https://hounsfield.example")
    assert not public.simulates_ehr
    assert Settings(public_url="https://hounsfield.example", ehr_simulator="on").simulates_ehr


def test_open_registration_of_clients_is_for_loopback_only():
    assert Settings(client_registration="open").client_registration == "open"
    with pytest.raises(SettingsError, match="client_registration"):
        Settings(
            host="0.0.0.0",
            client_registration="open",
            tls_cert=Path("c.pem"),
            tls_key=Path("k.pem"),
        )

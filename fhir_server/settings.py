"""Every setting, declared once: a flag, a HOUNSFIELD_* variable and a line in hounsfield.toml.

The dataclass `Settings` is the declaration: a field has the type of its value, and its metadata says
how text is read and what it means. `SETTINGS` is the same as a table, from which flags, variables,
docs/settings.md and `hounsfield settings` follow.
"""

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from fhir_server import setting_values as read

D = TypeVar("D")
T = TypeVar("T")
PREFIX = "HOUNSFIELD_"
FILE = "hounsfield.toml"


class SettingsError(ValueError):
    """A setting has a value that cannot be, or two that cannot be together; the text says which."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: name, how its text is read, default, what to write, help."""

    name: str
    parse: Callable[[str], object]
    default: object
    values: str
    help: str

    @property
    def flag(self) -> str:
        """Give the command-line flag, e.g. --mllp-port."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Give the environment variable, e.g. HOUNSFIELD_MLLP_PORT."""
        return PREFIX + self.name.upper()


def _setting(default: D, parse: Callable[[str], T], values: str, help_: str) -> D | T:
    """Declare a field; typed as the value that it will hold, as dataclasses.field is."""
    metadata = {"parse": parse, "values": values, "help": help_}
    declared: Any = field(default=default, metadata=metadata)
    return declared  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one server, checked: no field holds what cannot be served."""

    host: str = _setting("127.0.0.1", read.text, "ADDRESS", "Address that HTTP listens on.")
    port: int = _setting(8080, read.port, "PORT", "Port of HTTP; 0 picks a free one.")
    public_url: str | None = _setting(
        None,
        read.http_url,
        "URL",
        "Address by which clients reach the server, without a path; every absolute URL derives "
        "from it. By default the address it listens on.",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        read.networks,
        "CIDR[,CIDR…]",
        "Networks whose Forwarded and X-Forwarded-* headers are believed.",
    )
    tls_cert: Path | None = _setting(
        None, Path, "FILE", "Certificate chain (PEM) to serve HTTPS with; needs tls_key."
    )
    tls_key: Path | None = _setting(None, Path, "FILE", "Private key (PEM) of tls_cert.")
    data: Path = _setting(
        Path("hounsfield-data"),
        Path,
        "FOLDER",
        "Folder of the embedded store, the archive and the installation's keys.",
    )
    store: str | None = _setting(
        None,
        read.store_url,
        "URL",
        "Where resources are kept: sqlite:///FILE or mongodb://…. By default store.sqlite in data.",
    )
    auth: Literal["smart", "open"] = _setting(
        "smart",
        read.one_of("smart", "open"),
        "smart|open",
        "smart: every request needs an access token. open: everyone may do everything; refused on "
        "any address but loopback.",
    )
    issuers: Path | None = _setting(
        None,
        Path,
        "FILE",
        "TOML file of issuers outside: providers that people may log in with, and authorisation "
        "servers whose tokens are accepted (docs/smart.md).",
    )
    second_factor: Literal["optional", "required"] = _setting(
        "optional",
        read.one_of("optional", "required"),
        "optional|required",
        "Whether everyone who logs in with a password needs an authenticator app too.",
    )
    client_registration: Literal["off", "token", "open"] = _setting(
        "off",
        read.one_of("off", "token", "open"),
        "off|token|open",
        "Who may register a client by RFC 7591: nobody, who has a token of `hounsfield client "
        "invite`, or everyone; open is refused on any address but loopback.",
    )
    ehr_simulator: Literal["loopback", "on", "off"] = _setting(
        "loopback",
        read.one_of("loopback", "on", "off"),
        "loopback|on|off",
        "Whether /auth/simulator plays an EHR that launches apps, for development: where the server "
        "is known by a loopback address only, always, or never.",
    )
    signing_key_days: int = _setting(
        90,
        read.positive,
        "DAYS",
        "Age at which the key that signs tokens is replaced; nobody is logged out by it.",
    )
    mllp_host: str = _setting(
        "127.0.0.1", read.text, "ADDRESS", "Address that the HL7 v2 listener (MLLP) listens on."
    )
    mllp_port: int | None = _setting(
        2575, read.port_or_off, "PORT|off", "Port of the HL7 v2 listener; 0 picks a free one."
    )
    dimse_host: str = _setting(
        "127.0.0.1",
        read.text,
        "ADDRESS",
        "Address of the DICOM listener (DIMSE); this version has none, images come by DICOMweb.",
    )
    dimse_port: int | None = _setting(
        11112,
        read.port_or_off,
        "PORT|off",
        "Port of the DICOM listener (DIMSE); this version has none, and readiness says off.",
    )
    archive: str = _setting(
        "local",
        read.archive,
        "local|URL",
        "Where the images are: local is files under data; the DICOMweb base of a PACS is refused by this "
        "version.",
    )
    workers: int = _setting(1, read.positive, "N", "Number of processes that answer HTTP.")
    unknown_parameters: Literal["strict", "lenient"] = _setting(
        "strict",
        read.one_of("strict", "lenient"),
        "strict|lenient",
        "What an unknown search parameter does where the request has no Prefer: handling: refuse "
        "with 400, or be ignored and told in the outcome entry.",
    )
    unresolved_references: Literal["allow", "refuse"] = _setting(
        "allow",
        read.one_of("allow", "refuse"),
        "allow|refuse",
        "Whether a resource may refer to one on this server that does not exist.",
    )
    delete_referenced: Literal["allow", "refuse"] = _setting(
        "allow",
        read.one_of("allow", "refuse"),
        "allow|refuse",
        "Whether a resource may be deleted while others refer to it.",
    )
    conditional_delete: Literal["single", "multiple"] = _setting(
        "single",
        read.one_of("single", "multiple"),
        "single|multiple",
        "How many matches a conditional delete may remove: one, or in one transaction as many as "
        "_count allows (100 where it is not given). More are refused with 412.",
    )
    claimed_profiles: Literal["off", "report", "reject"] = _setting(
        "report",
        read.one_of("off", "report", "reject"),
        "off|report|reject",
        "What is done about the profiles that a resource claims in meta.profile as it is written: nothing; "
        "told as warnings where Prefer: return=OperationOutcome asks; or refused with 422 where one is "
        "broken. `hounsfield tenant set` overrides it for a tenant.",
    )
    modifier_extensions: Literal["allow", "refuse"] = _setting(
        "allow",
        read.one_of("allow", "refuse"),
        "allow|refuse",
        "What is done about a resource that has a modifierExtension not listed in understood_modifiers: "
        "it is stored, and the outcome of its validation warns; or it is refused with 422.",
    )
    understood_modifiers: tuple[str, ...] = _setting(
        (),
        read.urls,
        "URL[,URL…]",
        "The modifierExtensions that whoever reads from this server understands.",
    )
    max_body_bytes: int = _setting(
        64 * 1024 * 1024,
        read.size,
        "BYTES",
        "Largest request body on /fhir, in bytes or with a suffix: 64MiB.",
    )
    page_size: int = _setting(
        50, read.positive, "N", "Matches in a search or history page where _count is not given."
    )
    page_limit: int = _setting(
        1000, read.positive, "N", "Largest _count; a larger one gets this many."
    )
    include_limit: int = _setting(
        10_000,
        read.positive,
        "N",
        "Most resources that _include and _revinclude add to a page; where there are more, it says so.",
    )
    cursor_minutes: int = _setting(
        1440,
        read.positive,
        "MINUTES",
        "How long the links to further pages of a search or history are good; then they give 410.",
    )
    default_zone: str | None = _setting(
        None,
        read.zone,
        "ZONE",
        "Zone of HL7 v2 and DICOM times that carry none and whose sender has none configured: "
        "Europe/Berlin or +01:00. Without it such times keep date precision.",
    )
    roles: Path | None = _setting(
        None,
        Path,
        "FILE",
        "File of roles (TOML) in place of the ones that come along: what people in a role may do at most.",
    )
    audit: Literal["on", "off"] = _setting(
        "on",
        read.one_of("on", "off"),
        "on|off",
        "Whether every access is kept in the audit trail, and told as AuditEvents.",
    )
    audit_failure: Literal["refuse", "serve"] = _setting(
        "refuse",
        read.one_of("refuse", "serve"),
        "refuse|serve",
        "What is done while the audit journal cannot be written: refuse every access with 503, or "
        "serve without a trail. Readiness tells of it either way.",
    )
    audit_retention_days: int = _setting(
        2557,
        read.positive,
        "DAYS",
        "How long journal files and AuditEvents are kept; the default is seven years.",
    )
    audit_alert_patients: int = _setting(
        100,
        read.positive,
        "N",
        "How many patients a person may look at in ten minutes before an alert tells of it.",
    )
    audit_hours: tuple[int, int] | None = _setting(
        None,
        read.hours_or_off,
        "H-H|off",
        "Hours in which people work, e.g. 6-20; a look at a patient outside of them raises an alert.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info",
        read.one_of("debug", "info", "warning", "error"),
        "debug|info|warning|error",
        "Least severity that is logged.",
    )

    def __post_init__(self) -> None:
        """Refuse settings that cannot be together; raises SettingsError."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("tls_cert and tls_key go together")
        if self.page_size > self.page_limit:
            raise SettingsError("page_size is larger than page_limit")
        if read.is_loopback(self.host):
            return
        if self.client_registration == "open":
            raise SettingsError(
                f"client_registration open is refused on {self.host}: it is for loopback only"
            )
        if self.auth == "open":
            raise SettingsError(f"auth open is refused on {self.host}: it is for loopback only")
        if not self._encrypted():
            raise SettingsError(
                f"auth smart on {self.host} needs HTTPS: give tls_cert and tls_key, or "
                "trusted_proxies and a public_url that begins with https"
            )

    @property
    def simulates_ehr(self) -> bool:
        """Tell whether there is an EHR simulator page."""
        public = urlsplit(self.public_url or "").hostname or self.host
        near = read.is_loopback(self.host) and read.is_loopback(public)
        return self.ehr_simulator == "on" or (self.ehr_simulator == "loopback" and near)

    @property
    def store_url(self) -> str:
        """Give the store's URL, the embedded one under `data` if none was set."""
        return self.store or f"sqlite:///{self.data / 'store.sqlite'}"

    def _encrypted(self) -> bool:
        behind = bool(self.trusted_proxies) and (self.public_url or "").startswith("https://")
        return self.tls_cert is not None or behind


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(f.name, f.metadata["parse"], f.default, f.metadata["values"], f.metadata["help"])
    for f in dataclasses.fields(Settings)
)


def load(
    flags: Mapping[str, str | Sequence[str] | None],
    environ: Mapping[str, str],
    toml_path: Path | None = None,
) -> tuple[Settings, dict[str, str]]:
    """Give the settings, and for each name whether flag, variable, file or default gave its value.

    `flags` by setting name, None where not given. Without `toml_path`, hounsfield.toml of the
    working folder is read where there is one. Raises SettingsError.
    """
    file = _read_file(toml_path)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        raw, origin = _first(setting, flags, environ, file)
        origins[setting.name] = origin
        if raw is not None:
            values[setting.name] = _parsed(setting, raw, origin)
    return Settings(**values), origins


def shown(value: object) -> str:
    """Give a value as text for a person, without the password that a URL may carry."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if value is None:
        return ""
    return read.without_password(str(value))


def _first(
    setting: Setting,
    flags: Mapping[str, str | Sequence[str] | None],
    environ: Mapping[str, str],
    file: Mapping[str, object],
) -> tuple[str | None, str]:
    flag = flags.get(setting.name)
    if flag is not None:
        return (flag if isinstance(flag, str) else ",".join(flag)), setting.flag
    if setting.variable in environ:
        return environ[setting.variable], setting.variable
    if setting.name in file:
        return _as_text(file[setting.name]), FILE
    return None, "default"


def _parsed(setting: Setting, raw: str, origin: str) -> object:
    try:
        return setting.parse(raw)
    except ValueError as fault:
        wanted = f"{origin}: {setting.values} is wanted"
        detail = str(fault)
        raise SettingsError(f"{wanted}; {detail}" if detail else wanted) from None


def _read_file(path: Path | None) -> Mapping[str, object]:
    chosen = path or Path(FILE)
    if path is None and not chosen.exists():
        return {}
    try:
        content = tomllib.loads(chosen.read_text(encoding="utf-8"))
    except OSError as fault:
        raise SettingsError(f"{chosen} cannot be read: {fault.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise SettingsError(f"{chosen} is not TOML: {fault}") from None
    unknown = sorted(set(content) - {setting.name for setting in SETTINGS})
    if unknown:
        raise SettingsError(f"{chosen}: no such setting: {', '.join(unknown)}")
    return content


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)

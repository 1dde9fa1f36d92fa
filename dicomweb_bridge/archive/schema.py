"""The tables of the embedded archive's index; the columns that are matched bear DICOM keywords (PS3.6)."""

from dicomweb_bridge.attributes import KEYS, Key, Level

VERSION = 1
"""Kept in `PRAGMA user_version`; a newer one is refused, an older one is migrated."""

ALIAS: dict[Level, str] = {"study": "t", "series": "e", "instance": "i"}
_UIDS = frozenset({"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"})


def columns(level: Level) -> tuple[Key, ...]:
    """Give the keys that are columns of a level's table beside its UID columns."""
    return tuple(
        key
        for key in KEYS
        if key.level == level and key.keyword not in _UIDS and key.keyword != "ModalitiesInStudy"
    )


def column(key: Key) -> str:
    """Give the qualified column of a key."""
    return f"{ALIAS[key.level]}.{key.keyword}"


def _list(level: Level) -> str:
    kinds = {"number": "INTEGER"}
    return ", ".join(f"{key.keyword} {kinds.get(key.kind, 'TEXT')}" for key in columns(level))


TABLES = f"""
CREATE TABLE study (
  tenant TEXT NOT NULL, StudyInstanceUID TEXT NOT NULL, {_list("study")},
  attributes BLOB NOT NULL, changed INTEGER NOT NULL, described INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, StudyInstanceUID)) WITHOUT ROWID;
CREATE INDEX study_newest ON study (tenant, StudyDate DESC, StudyInstanceUID);
CREATE INDEX study_accession ON study (tenant, AccessionNumber);
CREATE INDEX study_patient ON study (tenant, PatientID);
CREATE INDEX study_undescribed ON study (tenant) WHERE described < changed;
CREATE TABLE series (
  tenant TEXT NOT NULL, StudyInstanceUID TEXT NOT NULL, SeriesInstanceUID TEXT NOT NULL,
  {_list("series")}, attributes BLOB NOT NULL,
  PRIMARY KEY (tenant, StudyInstanceUID, SeriesInstanceUID)) WITHOUT ROWID;
CREATE TABLE instance (
  tenant TEXT NOT NULL, SOPInstanceUID TEXT NOT NULL, StudyInstanceUID TEXT NOT NULL,
  SeriesInstanceUID TEXT NOT NULL, {_list("instance")}, transfer_syntax TEXT NOT NULL,
  sha256 TEXT NOT NULL, size INTEGER NOT NULL, attributes BLOB NOT NULL,
  PRIMARY KEY (tenant, SOPInstanceUID)) WITHOUT ROWID;
CREATE INDEX instance_place ON instance
  (tenant, StudyInstanceUID, SeriesInstanceUID, InstanceNumber, SOPInstanceUID);
CREATE INDEX instance_file ON instance (tenant, sha256);
CREATE TABLE metadata (
  tenant TEXT NOT NULL, SOPInstanceUID TEXT NOT NULL, json BLOB NOT NULL,
  PRIMARY KEY (tenant, SOPInstanceUID));
CREATE TABLE placing (tenant TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (tenant, sha256)) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""

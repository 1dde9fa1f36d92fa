"""Packages as they come: what is read, what is refused, which version a canonical leads to."""

import gzip
import io
import tarfile

import pytest
from fhir_package import SMALL, manifest, named, tgz

from conformance import packages
from conformance.canonicals import Canonicals, Opened, order, shipped
from resources.outcome import Invalid


def opened(**more):
    definition = named(**more)
    files = {**manifest(version=more.get("version", "1.0.0"), dependencies=more.pop("needs", {}))}
    made = packages.read(tgz({**files, "package/StructureDefinition-named.json": definition}))
    return Opened(made.manifest, lambda: made.content)


def test_what_is_written_twice_is_the_same_bytes():
    assert packages.read(tgz(SMALL)).content == packages.read(tgz(SMALL)).content


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(packages, "_UNPACKED", 1 << 20)
    zeros = tgz({**manifest(), "package/StructureDefinition-a.json": bytes(2 << 20)})
    assert len(zeros) < 10_000
    with pytest.raises(Invalid, match="unpacks to more"):
        packages.read(zeros)


def test_a_package_of_too_many_members_or_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(packages, "_MEMBERS", 1)
    with pytest.raises(Invalid, match="unpacks to more"):
        packages.read(tgz(SMALL))
    monkeypatch.setattr(packages, "LARGEST", 10)
    with pytest.raises(Invalid, match="at most"):
        packages.read(tgz(SMALL))


def test_links_are_not_followed():
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        info = tarfile.TarInfo("package/package.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(Invalid, match=r"package\.json"):
        packages.read(gzip.compress(held.getvalue()))


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_cut_file_is_refused(cut):
    with pytest.raises(Invalid):
        packages.read(tgz(SMALL)[:-cut])


def test_dependencies_that_are_here_in_another_version_are_missing():
    asking = packages.Manifest(
        name="a",
        version="1",
        dependencies={"hl7.fhir.r4.core": "4.0.1", "b": "1.0.0", "c": "2.x", "d": "1"},
    )
    known = [packages.Manifest(name="b", version="2"), packages.Manifest(name="c", version="2.1")]
    assert packages.missing(asking, known) == ["b#1.0.0", "d#1"]


def test_a_canonical_without_a_version_leads_to_the_newest():
    assert order("1.10.0") > order("1.9.0") > order("1.9.0-ballot") > order("1.8")
    canonicals = Canonicals((*shipped(), opened(version="1.9.0"), opened(version="1.10.0")))
    url = named()["url"]
    assert canonicals.structure(url)["version"] == "1.10.0"
    assert canonicals.structure(f"{url}|1.9")["version"] == "1.9.0"
    assert canonicals.structure(f"{url}|2") is None
    assert canonicals.of("test.small#1.9.0").structure(url)["version"] == "1.9.0"


def test_a_loose_definition_stands_before_those_of_packages():
    own = named(version="0.1")
    canonicals = Canonicals((*shipped(), opened(version="1.9.0")), [own])
    assert canonicals.structure(own["url"]) is own
    assert canonicals.structure(f"{own['url']}|1.9.0")["version"] == "1.9.0"

"""R4's own value sets as we expand them, against HL7's expansions; and what the package data may hold."""

import msgspec
import pytest

from conformance.terminology.held import held, terminology
from conformance.terminology.port import UnknownCodeSystem, UnknownValueSet
from conformance.terminology.stored import Compiled
from resources import definitions
from resources.model import serialise
from resources.outcome import FhirError

ADMINISTRATIVE = "http://hl7.org/fhir/ValueSet/administrative-gender"


def required():
    return msgspec.json.decode(definitions._read("codes"), type=dict[str, dict[str, list[str]]])


def test_every_required_value_set_has_the_codes_that_hl7_lists():
    wrong = []
    for url, systems in required().items():
        ours = {(one.system, one.code) for one in terminology().expand(url).concepts}
        theirs = {(system, code) for system, codes in systems.items() for code in codes}
        if ours != theirs:
            wrong.append((url, len(ours - theirs), len(theirs - ours)))
    assert wrong == []


def test_what_is_expanded_is_also_a_member(size):
    urls = sorted(held()._raw_sets)[:: size(20, 1)]
    asked = 0
    for url in urls:
        try:
            found = terminology().expand(url).concepts
        except FhirError:
            continue
        for one in found[:: size(10, 1)]:
            assert terminology().validate_code(url, one.system, one.code).result is True, url
            asked += 1
        assert terminology().validate_code(url, "http://x.example", "no-such").result is False
    assert asked > 100


def test_no_content_of_other_terminologies_is_shipped():
    for url, raw in held()._raw_sets.items():
        compose = msgspec.json.decode(raw).get("compose", {})
        for part in (*compose.get("include", ()), *compose.get("exclude", ())):
            if part.get("concept"):
                ours = (
                    "http://hl7.org/",
                    "http://terminology.hl7.org/",
                    "http://cds-hooks",
                    "urn:ietf",
                )
                assert part["system"].startswith(ours), url
    foreign = ("snomed", "loinc", "rxnorm", "ama-assn", "dicom", "unitsofmeasure")
    assert not [url for url in held()._raw_systems if any(word in url for word in foreign)]


def test_versions_are_exact():
    assert terminology().expand(f"{ADMINISTRATIVE}|4.0.1").version == "4.0.1"
    with pytest.raises(UnknownValueSet, match=r"\|3"):
        terminology().expand(f"{ADMINISTRATIVE}|3")
    with pytest.raises(UnknownCodeSystem):
        terminology().below("http://snomed.info/sct", "404684003")


def definition(key, version, code):
    body = {
        "resourceType": "ValueSet",
        "url": "http://x.example/vs",
        "version": version,
        "compose": {"include": [{"system": "urn:s", "concept": [{"code": code}]}]},
    }
    return Compiled().definition(key, f"ValueSet/{key}", serialise(body))


def test_the_newest_stored_version_is_taken_by_its_numbers():
    stored = Compiled().terminology([definition("a", "1.10", "new"), definition("b", "1.9", "old")])
    url = "http://x.example/vs"
    assert [one.code for one in stored.expand(url).concepts] == ["new"]
    assert [one.code for one in stored.expand(f"{url}|1.9").concepts] == ["old"]
    assert [one.code for one in stored.expand("ValueSet/b").concepts] == ["old"]
    assert stored.expand(ADMINISTRATIVE).concepts == terminology().expand(ADMINISTRATIVE).concepts


def test_a_terminology_of_the_same_versions_is_the_same_one():
    compiled, one = Compiled(), definition("a", "1", "x")
    assert compiled.terminology([one]) is compiled.terminology([one])
    assert compiled.terminology([]) is terminology()

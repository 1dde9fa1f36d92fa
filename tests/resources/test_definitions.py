"""The R4 definitions as package data, against HL7's own (FHIR R4 structuredefinition.html)."""

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from resources import definitions
from scripts import build_definitions

R4 = definitions.load()
DATA = Path(definitions.__file__).parent / "data"
GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"


def lines(corpus, kind):
    with gzip.open(corpus / "r4" / "definitions" / f"{kind}.ndjson.gz") as file:
        return [msgspec.json.decode(line) for line in file]


@pytest.fixture(scope="module")
def package(corpus):
    return {kind: lines(corpus, kind) for kind in build_definitions.KINDS} | {"Bundle": []}


def test_r4_has_146_concrete_resource_types():
    assert len(R4.resource_types) == 146
    assert {"Patient", "ImagingStudy", "Parameters"} <= R4.resource_types
    assert not {"Resource", "DomainResource", "HumanName"} & R4.resource_types


@pytest.mark.parametrize(
    ("name", "kind", "base"),
    [
        ("Patient", "resource", "DomainResource"),
        ("DomainResource", "resource", "Resource"),
        ("Bundle", "resource", "Resource"),
        ("Resource", "resource", None),
        ("HumanName", "complex", "Element"),
        ("Age", "complex", "Quantity"),
        ("positiveInt", "primitive", "integer"),
        ("MetadataResource", None, None),
        ("Nothing", None, None),
    ],
)
def test_a_type_has_a_kind_and_a_base(name, kind, base):
    assert (R4.kind(name), R4.base(name)) == (kind, base)


def test_inherited_elements_come_first_and_in_order():
    assert list(R4.children("Patient"))[:9] == [
        "id",
        "meta",
        "implicitRules",
        "language",
        "text",
        "contained",
        "extension",
        "modifierExtension",
        "identifier",
    ]
    assert list(R4.children("Patient.contact"))[:4] == [
        "id",
        "extension",
        "modifierExtension",
        "relationship",
    ]
    assert list(R4.children("Age")) == list(R4.children("Quantity"))


def test_an_unknown_path_is_a_key_error():
    for path in ("Nothing", "Patient.name", "Patient.nothing"):
        with pytest.raises(KeyError):
            R4.children(path)


def test_a_choice_has_a_json_name_for_each_of_its_types():
    value = R4.children("Observation")["value"]
    names = R4.json_names(value)
    assert value.choice
    assert len(names) == 11
    assert names["valueQuantity"].code == "Quantity"
    assert names["valueDateTime"].code == "dateTime"


def test_an_element_that_is_no_choice_has_one_json_name():
    assert R4.json_names(R4.children("Patient")["gender"]) == {
        "gender": definitions.TypeRef("code")
    }


def test_a_reference_knows_the_types_it_may_lead_to():
    (held,) = R4.children("Observation")["device"].types
    assert held == definitions.TypeRef("Reference", ("Device", "DeviceMetric"))
    (held,) = R4.children("Observation")["focus"].types
    assert held.targets == ("Resource",)


@pytest.mark.parametrize(
    ("path", "name", "content"),
    [
        ("Patient", "name", "HumanName"),
        ("Patient", "contact", "Patient.contact"),
        ("Questionnaire.item", "item", "Questionnaire.item"),
        ("Bundle.entry", "link", "Bundle.link"),
        ("Timing", "repeat", "Timing.repeat"),
        ("Patient", "birthDate", "date"),
        ("DomainResource", "contained", "Resource"),
    ],
)
def test_the_content_of_an_element_is_a_type_or_a_nested_path(path, name, content):
    element = R4.children(path)[name]
    (type_ref,) = R4.json_names(element).values()
    assert R4.content(path, element, type_ref) == content


def test_flags_and_bindings_are_kept():
    status = R4.children("Observation")["status"]
    assert (status.min, status.max, status.summary, status.modifier) == (1, 1, True, True)
    assert status.binding == definitions.Binding(
        "required", "http://hl7.org/fhir/ValueSet/observation-status"
    )
    assert R4.children("Patient")["name"].max is None


def test_a_required_value_set_lists_its_codes_with_their_system():
    system = "http://hl7.org/fhir/administrative-gender"
    wanted = {(system, code) for code in ("male", "female", "other", "unknown")}
    assert R4.codes(GENDER) == wanted


@pytest.mark.parametrize("name", ["mimetypes", "ucum-units", "nothing"])
def test_a_value_set_that_no_list_can_hold_has_no_codes(name):
    assert R4.codes(f"http://hl7.org/fhir/ValueSet/{name}") is None


def test_a_primitive_has_lexical_rules_and_other_types_have_none():
    assert R4.primitive("id") == definitions.Primitive(regex=r"[A-Za-z0-9\-\.]{1,64}")
    assert R4.primitive("string").max_length == 1_048_576
    assert R4.primitive("integer").maximum == 2_147_483_647
    assert R4.primitive("HumanName") is None


def test_a_composite_search_parameter_has_its_components():
    url = "http://hl7.org/fhir/SearchParameter/Observation-code-value-quantity"
    (found,) = (held for held in R4.search_parameters if held.url == url)
    assert (found.code, found.type, found.base) == (
        "code-value-quantity",
        "composite",
        ("Observation",),
    )
    assert found.components == (
        ("http://hl7.org/fhir/SearchParameter/clinical-code", "code"),
        ("http://hl7.org/fhir/SearchParameter/Observation-value-quantity", "value.as(Quantity)"),
    )


def test_every_search_parameter_applies_to_types_that_exist():
    names = set(R4.type_names())
    for held in R4.search_parameters:
        assert held.base
        assert names.issuperset(held.base), held.url
        assert names.issuperset(held.target), held.url


def test_the_patient_compartment_names_search_parameters_by_type():
    assert set(R4.compartments) == {
        "Device",
        "Encounter",
        "Patient",
        "Practitioner",
        "RelatedPerson",
    }
    assert set(R4.compartments["Patient"]["Observation"]) == {"performer", "subject"}


def test_an_operation_has_levels_types_and_parameters():
    (found,) = (
        held for held in R4.operations if held.code == "everything" and held.types == ("Patient",)
    )
    assert found.levels == ("instance", "type")
    assert {held.name for held in found.parameters} >= {"start", "end", "_since", "return"}


def test_invariants_stand_at_the_path_that_states_them():
    assert [held.key for held in R4.invariants["Patient.contact"]] == ["pat-1"]
    assert "dom-2" in {held.key for held in R4.invariants["DomainResource"]}
    assert "Patient" not in R4.invariants


def test_the_data_are_a_few_megabytes_at_most():
    assert sum(file.stat().st_size for file in DATA.glob("*.json")) < 3_000_000


def test_loading_reads_the_structures_only():
    code = (
        "from resources import definitions; d = definitions.load(); d.children('Patient');"
        "import sys; print(sorted(k for k in vars(d) if not k.startswith('_')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['resource_types']"


def test_a_tarball_with_another_digest_is_refused(tmp_path):
    tarball = tmp_path / "other.tgz"
    tarball.write_bytes(b"x")
    with pytest.raises(SystemExit, match=hashlib.sha256(b"x").hexdigest()):
        build_definitions.read_package(tarball)


@pytest.mark.parametrize(
    "name", ["structures", "invariants", "search_parameters", "compartments", "operations"]
)
def test_the_committed_data_are_what_the_script_builds(package, name):
    assert build_definitions.build(package)[name] == (DATA / f"{name}.json").read_bytes()


def test_every_snapshot_can_be_read_back(package):
    for source in package["StructureDefinition"]:
        if (
            R4.kind(source["type"]) in {None, "primitive"}
            or source.get("derivation") == "constraint"
        ):
            continue
        paths = {}
        for held in source["snapshot"]["element"][1:]:
            parent, _, name = held["path"].rpartition(".")
            paths.setdefault(parent, []).append(
                (name.removesuffix("[x]"), held["min"], held["max"])
            )
        for path, wanted in paths.items():
            found = [
                (held.name, held.min, "*" if held.max is None else str(held.max))
                for held in R4.children(path).values()
            ]
            assert found == wanted, path


def test_the_code_lists_agree_with_the_code_systems(corpus):
    systems = {held["url"]: held for held in lines(corpus, "CodeSystem")}
    compared = 0
    for source in lines(corpus, "ValueSet"):
        codes = R4.codes(source["url"])
        include = source.get("compose", {}).get("include", [])
        is_whole = (
            len(include) == 1
            and include[0].keys() == {"system"}
            and "exclude" not in source["compose"]
        )
        held = systems.get(include[0]["system"]) if codes is not None and is_whole else None
        if (
            held
            and held["content"] == "complete"
            and not any(c.get("concept") or c.get("property") for c in held["concept"])
        ):
            assert {code for _, code in codes} == {concept["code"] for concept in held["concept"]}
            compared += 1
    assert compared > 100

"""Search parameters resolved to atoms (FHIR R4 searchparameter.html)."""

import gzip
import json
from collections import Counter

import fhirpathpy
import pytest
from fhirpathpy.models import models

from fhir_server.search.parameters import VERSION_PARAMETERS, Atom, Component, SearchParameters
from resources.definitions import load
from resources.fhirpath.compile import Compiler
from resources.fhirpath.parse import parse
from resources.model import parse as parse_resource

# Expressions that the reference implementation cannot evaluate.
ORACLE_LACKS = frozenset({"hasExtension"})


@pytest.fixture(scope="module")
def parameters():
    return SearchParameters(load())


@pytest.fixture(scope="module")
def everything(parameters):
    return [
        (type, p) for type in sorted(load().resource_types) for p in parameters.of(type).values()
    ]


def names(parameter):
    return [atom.name for atom in parameter.atoms]


def test_every_parameter_that_r4_defines_compiles(everything, parameters):
    direct = {
        (base, held.code)
        for held in load().search_parameters
        for base in held.base
        if held.expression and base in load().resource_types
    }
    assert {pair for pair in direct if parameters.get(*pair) is None} == set()
    print(f"{len(direct)} (type, parameter) pairs, {len(everything)} with those of every resource")
    assert len(direct) > 1690


def test_every_parameter_has_atoms_but_composites_which_have_contexts(everything):
    without = {p.code for _, p in everything if not p.atoms and p.type != "composite"}
    assert without == VERSION_PARAMETERS
    composites = [p for _, p in everything if p.type == "composite"]
    assert len(composites) > 70
    for composite in composites:
        assert composite.contexts
        for context in composite.contexts:
            assert len(context.parts) == len(composite.components)
            assert all(part.parameter.atoms for part in context.parts)


def test_an_atom_has_one_name_and_its_name_is_its_expression(everything):
    compiler = Compiler(load())
    for type_, parameter in everything:
        for atom in parameter.atoms:
            assert atom.name.startswith(type_)
            assert str(parse(atom.name)) == atom.name
            assert compiler.branches(parse(atom.name), type_)


@pytest.mark.parametrize(
    ("type_", "code", "atoms", "targets"),
    [
        (
            "Observation",
            "subject",
            ["Observation.subject"],
            {"Patient", "Group", "Device", "Location"},
        ),
        ("Observation", "patient", ["Observation.subject"], {"Patient"}),
        ("Observation", "combo-code", ["Observation.code", "Observation.component.code"], set()),
        ("Observation", "value-quantity", ["Observation.value.ofType(Quantity)"], set()),
        (
            "Condition",
            "onset-date",
            ["Condition.onset.ofType(dateTime)", "Condition.onset.ofType(Period)"],
            set(),
        ),
        ("Patient", "phone", ["Patient.telecom.where(system = 'phone')"], set()),
        ("Patient", "phonetic", ["Patient.name"], set()),
        ("Patient", "_tag", ["Patient.meta.tag"], set()),
        ("Consent", "patient", ["Consent.patient"], {"Patient"}),
        ("ServiceRequest", "code", ["ServiceRequest.code"], set()),
        (
            "MedicationRequest",
            "medication",
            ["MedicationRequest.medication.ofType(Reference)"],
            {"Medication"},
        ),
        ("Bundle", "composition", ["Bundle.entry[0].resource"], {"Composition"}),
        ("Bundle", "message", ["Bundle.entry[0].resource"], {"MessageHeader"}),
        (
            "AuditEvent",
            "patient",
            ["AuditEvent.agent.who", "AuditEvent.entity.what"],
            {"Patient"},
        ),
    ],
)
def test_a_parameter_is_its_atoms_and_targets(parameters, type_, code, atoms, targets):
    found = parameters.get(type_, code)
    assert (names(found), set(found.targets)) == (atoms, targets)


def test_parameters_of_unknown_codes_and_types(parameters):
    assert parameters.get("Patient", "nothing") is None
    assert parameters.get("Patient", "_text") is None
    with pytest.raises(KeyError):
        parameters.get("Nothing", "_id")


def test_a_composite_names_the_parameters_of_its_parts(parameters):
    found = parameters.get("Observation", "component-code-value-quantity")
    url = "http://hl7.org/fhir/SearchParameter/Observation-component-"
    assert found.components == (
        Component("component-code", url + "code", "code"),
        Component("component-value-quantity", url + "value-quantity", "value.as(Quantity)"),
    )


def test_a_compartment_is_the_parameters_that_lead_to_it(parameters):
    found = parameters.compartment("Patient", "Observation")
    assert {p.code for p in found} == {"subject", "performer"}
    assert parameters.compartment("Patient", "CodeSystem") == ()
    for compartment, types in load().compartments.items():
        for type_, codes in types.items():
            found = {p.code for p in parameters.compartment(compartment, type_)}
            assert found == set(codes) - {"{def}"}


def test_the_clinical_date_is_one_atom_of_one_value(parameters):
    assert parameters.clinical("Observation") == Atom("Observation.effective", "date")
    assert parameters.clinical("ImagingStudy") == Atom("ImagingStudy.started", "date")
    assert parameters.clinical("ServiceRequest") == Atom("ServiceRequest.authoredOn", "date")
    assert parameters.clinical("Condition") == Atom("Condition.recordedDate", "date")
    assert parameters.clinical("Patient") is None
    dated = [t for t in load().resource_types if parameters.clinical(t)]
    assert len(dated) > 85
    for type_ in dated:
        for step in parse_steps(parameters.clinical(type_).name, type_):
            assert step.max == 1


def parse_steps(path, type_):
    """The elements on a path of plain steps."""
    context, elements = type_, []
    for name in path.partition(".ofType")[0].split(".")[1:]:
        element = load().children(context)[name]
        elements.append(element)
        held = next(iter(load().json_names(element).values()))
        context = load().content(context, element, held)
    return elements


def test_extraction_agrees_with_another_implementation(corpus, parameters):
    compiler, oracle, compared = Compiler(load()), {}, Counter()
    with gzip.open(corpus / "r4/examples-dev.ndjson.gz") as lines:
        for line in lines:
            if len(line) < 30_000:
                _compare(parse_resource(line), parameters, compiler, oracle, compared)
    print(f"{compared['items']} items of {compared['paths']} paths agree")
    assert compared["items"] > 2000


def _compare(resource, parameters, compiler, oracle, compared):
    type_ = resource["resourceType"]
    for name in {n for p in parameters.of(type_).values() for n in names(p)}:
        if any(function in name for function in ORACLE_LACKS):
            continue
        if name not in oracle:
            oracle[name] = fhirpathpy.compile(name, models["r4"])
        ours = [value for value, _ in compiler.items(parse(name), type_)(resource)]
        theirs = oracle[name](resource)
        assert sorted(map(_text, ours)) == sorted(map(_text, theirs)), (name, resource["id"])
        compared.update(paths=1, items=len(ours))


def _text(value):
    return json.dumps(value, sort_keys=True, default=str)

"""One fault planted for each invariant of R4: found by its key, at its place."""

import itertools

import pytest
from generated import DEFINITIONS, Generator, literals, names

from conformance import corrections
from conformance.invariant import Compiler
from conformance.prose import PROSE
from conformance.validate import Validator
from resources.fhirpath.within import Within

VALIDATOR = Validator(DEFINITIONS)
COMPILER = Compiler(DEFINITIONS)
ATTEMPTS = 400
RELATIVE = "a/b"
BASIC = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}
ELEMENT = {"id": "Patient", "path": "Patient"}


def elements(*held, **more):
    """A StructureDefinition with elements in its differential."""
    return {"type": "Patient", "kind": "resource", "derivation": "constraint", **more} | {
        "differential": {"element": list(held)}
    }


SD = "StructureDefinition"
CORE = "http://hl7.org/fhir/StructureDefinition/x"
FIRST = "StructureDefinition.differential.element[0]"
# what nothing can break
TRUE_WHATEVER_COMES = {
    "cid-0": "ChargeItemDefinition has no name in R4",
    "eld-11": "select() gives an item for each type, and so exists() whatever they are",
    "tst-4": "required and validated are 1..1",
}
# what chance does not hit: what to put into a resource that is right, and where the rule is then broken
PLANTED = {
    "bdl-8": (
        "Bundle",
        {"entry": [{"fullUrl": "http://a.example/B/1/_history/2", "resource": BASIC}]},
        "Bundle.entry[0]",
    ),
    "bundle.html#fullUrl": (
        "Bundle",
        {"entry": [{"fullUrl": RELATIVE, "resource": BASIC}]},
        "Bundle.entry[0]",
    ),
    "con-2": (
        "Condition",
        {"evidence": [{"extension": [{"url": "http://a.example/e", "valueCode": "x"}]}]},
        "Condition.evidence[0]",
    ),
    "con-3": (
        "Condition",
        {
            "category": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/condition-category",
                            "code": "problem-list-item",
                        }
                    ]
                }
            ]
        },
        "Condition",
    ),
    "cpb-9": (
        "CapabilityStatement",
        {"rest": [{"mode": "server", "resource": [{"type": "Patient"}, {"type": "Patient"}]}]},
        "CapabilityStatement.rest[0]",
    ),
    "ctm-1": (
        "Bundle",
        {
            "type": "collection",
            "entry": [
                {
                    "fullUrl": "http://a.example/CareTeam/t",
                    "resource": {
                        "resourceType": "CareTeam",
                        "id": "t",
                        "participant": [
                            {
                                "member": {"reference": "Patient/p"},
                                "onBehalfOf": {"reference": "Organization/o"},
                            }
                        ],
                    },
                },
                {
                    "fullUrl": "http://a.example/Patient/p",
                    "resource": {"resourceType": "Patient", "id": "p"},
                },
            ],
        },
        "Bundle.entry[0].resource.participant[0]",
    ),
    "datatypes.html#Coding": (
        "Basic",
        {"code": {"coding": [{"system": RELATIVE, "code": "x"}]}},
        "Basic.code.coding[0]",
    ),
    "datatypes.html#Identifier": (
        "Basic",
        {"identifier": [{"system": "urn:ietf:rfc:3986", "value": "1.2.3"}]},
        "Basic.identifier[0]",
    ),
    "eld-12": (
        "StructureDefinition",
        elements({**ELEMENT, "binding": {"strength": "required", "valueSet": RELATIVE}}),
        f"{FIRST}.binding",
    ),
    "nsd-2": (
        "NamingSystem",
        {"uniqueId": [{"type": "oid", "value": str(n), "preferred": True} for n in range(2)]},
        "NamingSystem",
    ),
    **{
        f"ppc-{number}": (
            "Consent",
            {"scope": {"coding": [{"system": "something", "code": code}]}},
            "Consent",
        )
        for number, code in enumerate(("patient-privacy", "research", "adr", "treatment"), 2)
    },
    "que-2": (
        "Questionnaire",
        {"item": [{"linkId": "1", "type": "string"}, {"linkId": "1", "type": "string"}]},
        "Questionnaire",
    ),
    "ras-2": (
        "RiskAssessment",
        {"prediction": [{"probabilityDecimal": 101}]},
        "RiskAssessment.prediction[0]",
    ),
    "dom-6": ("Basic", {"text": None}, "Basic"),
    "sdf-19": (
        "StructureDefinition",
        elements({**ELEMENT, "type": [{"code": "a-b"}]}, url=CORE),
        SD,
    ),
    "sdf-22": ("StructureDefinition", elements({**ELEMENT, "defaultValueCode": "a"}, url=CORE), SD),
    "sdf-5": (
        "StructureDefinition",
        elements({"id": "Extension", "path": "Extension"}, type="Extension"),
        "StructureDefinition",
    ),
    "valueset.html#compositions": (
        "ValueSet",
        {"compose": {"include": [{"system": RELATIVE}]}},
        "ValueSet.compose.include[0]",
    ),
}


def cases():
    """Every invariant that is checked by its FHIRPath, with the path that states it."""
    for path, held in itertools.chain(DEFINITIONS.invariants.items(), PROSE.items()):
        for invariant in held:
            if invariant.key not in corrections.CHECKED_ELSEWHERE:
                yield path.removesuffix("[x]"), invariant


CASES = [
    pytest.param(*case, id=f"{case[0]}-{case[1].key}")
    for case in cases()
    if case[1].key not in TRUE_WHATEVER_COMES
]


def content(path):
    """The type or nested path that the values at a path have."""
    if "." not in path or DEFINITIONS.base(path) is not None:
        return path
    parent, _, name = path.rpartition(".")
    element = DEFINITIONS.children(parent)[name]
    if element.choice:
        return "Range"
    return element.content_reference or element.types[0].code


def hosted(path, value, made):
    """A resource with a value at a path, and the expression of that place."""
    top = path.partition(".")[0]
    if DEFINITIONS.kind(top) == "resource":
        resource = made.resource(top)
        if path == top:
            return {**resource, **value}, top
        return resource, put(resource, path, value)
    if top == "ElementDefinition":
        resource = made.resource("StructureDefinition")
        element = made.value("ElementDefinition")
        at = "StructureDefinition.differential.element[0]"
        resource["differential"] = {"element": [value if path == top else element]}
    else:
        resource = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}
        element = value if path == top else made.value(top)
        extension = {"url": "http://a.example/e", f"value{top}": element}
        resource["extension"], at = [extension], "Basic.extension[0].value"
    return resource, at if path == top else at + put(element, path, value).removeprefix(top)


def put(holder, path, value):
    """Put a value at a path below an object, making what is between; gives its expression."""
    *steps, last = path.split(".")
    at = here = steps[0]
    for step in (*steps[1:], last):
        element = DEFINITIONS.children(here)[step]
        name = f"{step}Range" if element.choice else step
        made = value if step is last else Generator(0).value(f"{here}.{step}")
        holder[name] = made if element.max == 1 else [made]
        at += f".{step}" if element.max == 1 else f".{step}[0]"
        holder, here = made, f"{here}.{step}"
    return at


def found_at(resource, invariant):
    """The severities and places of the issues that name an invariant."""
    told = f"({invariant.key})"
    issues = VALIDATOR.check(resource)
    return {(i.severity, i.expression) for i in issues if told in i.diagnostics}


@pytest.mark.parametrize(("path", "invariant"), CASES)
def test_the_fault_of_an_invariant_is_found_at_its_place(path, invariant):
    if invariant.key == "canonical.html#url":
        resource = {**Generator(0, density=0).resource(path), "url": RELATIVE}
        assert found_at(resource, invariant) == {(invariant.severity, path)}
        return
    if invariant.key in PLANTED:
        type_name, put_in, at = PLANTED[invariant.key]
        resource = Generator(0, density=0).resource(type_name) | put_in
        resource = {name: value for name, value in resource.items() if value is not None}
        assert (invariant.severity, at) in found_at(resource, invariant)
        return
    type_name = content(path)
    text = corrections.expression(invariant.key, invariant.expression)
    rule = COMPILER.rule(
        type(invariant)(invariant.key, invariant.severity, invariant.human, text), type_name
    )
    words = literals(text)
    for seed in range(ATTEMPTS):
        made = Generator(seed, words, density=0.15 + (seed % 5) / 5)
        also = [name for name in sorted(names(text)) if made.chance.random() < 0.5]
        value = made.value(type_name, 1, also)
        resource, at = hosted(path, value, Generator(seed, words, density=0))
        held = resource if path == resource["resourceType"] else value
        if not rule.broken(held, Within(resource)):
            continue
        issues = VALIDATOR.check(resource)
        if any(
            issue.code in ("structure", "required", "value", "code-invalid") for issue in issues
        ):
            continue
        found = {
            (issue.severity, issue.expression)
            for issue in issues
            if f"({invariant.key})" in issue.diagnostics
        }
        assert (invariant.severity, at) in found
        return
    pytest.fail("no fault could be planted")

"""Compiled predicates answer as the evaluator does, on everything that the types let them compile."""

import gzip
import random

import pytest

from conformance import corrections
from resources import definitions, model
from resources.fhirpath.faults import FhirPathFault, SemanticFault
from resources.fhirpath.parse import SyntaxFault
from resources.fhirpath.predicate import Predicates
from resources.fhirpath.within import Within

DEFINITIONS = definitions.load()
PREDICATES = Predicates(DEFINITIONS)
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "_gender": {"extension": [{"url": "u:u", "valueCode": "x"}]},
    "name": [
        {
            "use": "official",
            "family": "Zorn",
            "given": ["Ada", None],
            "_given": [None, {"id": "g"}],
        },
        {"use": "usual", "family": "Z"},
    ],
    "birthDate": "1980-02-29",
    "deceasedDateTime": "2020-01-01T10:00:00Z",
    "multipleBirthInteger": 2,
    "telecom": [{"system": "phone", "value": "1"}, {"value": "2"}],
    "contact": [{"name": {"text": "x"}, "period": {"start": "2020-01", "end": "2020-01-02"}}],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
    "link": [{"other": {"reference": "#o"}, "type": "seealso"}],
}
COMPILED = [
    "active",
    "active = true",
    "active.not()",
    "gender.exists()",
    "gender.hasValue()",
    "gender = 'male'",
    "gender != 'male'",
    "name.exists() and telecom.exists()",
    "name.count() = 2",
    "name.count() + telecom.count() > 3",
    "name.given.count() = 2",
    "name.where(use = 'official').given.first() = 'Ada'",
    "name.all(family.exists())",
    "name.exists(family = 'Z')",
    "name.family.isDistinct()",
    "name.use in ('usual' | 'official')",
    "name.first().use in ('usual' | 'official')",
    "name.tail().all(use = 'usual')",
    "name.select(family & use).isDistinct()",
    "name.family contains 'Z'",
    "name.family.combine(name.use).isDistinct()",
    "name.given.intersect(name.given).exists()",
    "birthDate = deceased",
    "deceased is dateTime",
    "deceased is boolean",
    "(deceased as dateTime) > birthDate",
    "deceased.ofType(boolean).empty()",
    "multipleBirth is integer implies (multipleBirth as integer) <= 2",
    "telecom.all(system.exists() xor value.empty())",
    "telecom.system.startsWith('ph')",
    "name.first().family.matches('^Z')",
    "name.first().family.contains('orn')",
    "name.first().family.length() = 4",
    "name.first().family.substring(1) = 'orn'",
    "name.first().family.upper() = 'ZORN'",
    "contact.period.start <= contact.period.end",
    "contact.name.text = 'x' or nothing",
    "contained.id = 'o'",
    "contained.meta.versionId.empty()",
    "contained.first().is(Organization)",
    "descendants().reference = '#o'",
    "iif(active, name.exists(), false)",
    "iif(active.not(), true)",
    "{}",
    "{} = 1",
    "%resource.name.exists()",
    "%context.name.exists()",
    "%ucum = 'http://unitsofmeasure.org'",
    "Patient.name.exists()",
    "Observation.code.exists()",
    "name.trace('n').exists()",
    "(name | telecom).exists()",
    "(name | telecom).all(period.empty())",
]
EVALUATED = [
    "birthDate <= deceased",
    "multipleBirth > 1",
    "name.repeat(given).exists()",
    "link.other.resolve().is(Organization)",
    "name.select($index).exists()",
    "children().exists()",
    "today() > birthDate",
    "name.family.toChars().count() = 5",
]


def evaluated(text, value, context, resource):
    """What the evaluator says, or the kind of its fault."""
    predicate = PREDICATES.compile(text, context)
    evaluate = PREDICATES._evaluated(text, context)
    answers = []
    for holds in (predicate.holds, evaluate):
        try:
            answers.append(holds(value, Within(resource), None))
        except FhirPathFault:
            answers.append("fault")
    return predicate, answers


@pytest.mark.parametrize("text", COMPILED)
def test_what_is_compiled_answers_as_the_evaluator(text):
    predicate, (ours, theirs) = evaluated(text, PATIENT, "Patient", PATIENT)
    assert predicate.compiled
    assert ours == theirs


@pytest.mark.parametrize("text", EVALUATED)
def test_what_types_do_not_decide_is_evaluated(text):
    predicate, (ours, theirs) = evaluated(text, PATIENT, "Patient", PATIENT)
    assert not predicate.compiled
    assert ours == theirs


@pytest.mark.parametrize(
    ("text", "context", "value", "told"),
    [
        ("length() <= 3", "string", "abc", True),
        ("matches('^[a-c]*$')", "code", "abd", False),
        ("empty() or $this = '*'", "string", "*", True),
        ("$this > 3", "integer", 4, True),
        ("value < 3 'g'", "Quantity", {"value": 2, "code": "g"}, None),
        ("start <= end", "Period", {"start": "2020", "end": "2020-01"}, None),
        ("start <= end", "Period", {"start": "2020-01-02", "end": "2020-01-01"}, False),
        (
            "coding.where(system = 's').code = 'c'",
            "CodeableConcept",
            {"coding": [{"code": "c"}]},
            None,
        ),
    ],
)
def test_a_predicate_is_of_any_type(text, context, value, told):
    holds = PREDICATES.compile(text, context).holds
    assert holds(value, Within({"resourceType": "Basic"}), None) is told


def test_a_primitive_without_a_value_has_its_extensions():
    holds = PREDICATES.compile("hasValue() or extension.exists()", "string").holds
    assert holds(None, Within(PATIENT), {"extension": [{"url": "u:u", "valueCode": "x"}]}) is True
    assert holds(None, Within(PATIENT), {"id": "x"}) is False
    assert PREDICATES.compile("hasValue()", "string").holds(None, Within(PATIENT), {}) is False


def test_the_contained_resource_and_its_container_are_told_apart():
    inner = PATIENT["contained"][0]
    text = "%resource.id = 'o' and %rootResource.id = 'p'"
    holds = PREDICATES.compile(text, "Organization").holds
    assert holds(inner, Within(inner, PATIENT), None) is True


@pytest.mark.parametrize("text", ["name.", "name ==", "1 +"])
def test_what_is_no_fhirpath_is_refused_when_compiled(text):
    with pytest.raises(SyntaxFault):
        PREDICATES.compile(text, "Patient")


def test_an_unknown_function_is_refused_when_compiled():
    with pytest.raises(SemanticFault):
        PREDICATES.compile("name.nothing()", "Patient")


# --- every invariant of R4 -------------------------------------------------------------------------


def invariants():
    """Every invariant with the type that it is on, as published and as corrected."""
    for path, held in DEFINITIONS.invariants.items():
        for invariant in held:
            corrected = corrections.expression(invariant.key, invariant.expression)
            for text in {invariant.expression, corrected}:
                yield path, invariant.key, text


def content(path):
    """The type that a path's values have."""
    if path.endswith("[x]"):
        return "Range"
    if "." not in path or DEFINITIONS.base(path) is not None:
        return path
    parent, _, name = path.rpartition(".")
    element = DEFINITIONS.children(parent)[name]
    return element.content_reference or element.types[0].code


EXPRESSIONS = {(key, text): content(path) for path, key, text in invariants()}
LEFT_TO_THE_EVALUATOR = {
    "ctm-1",
    "dom-2",
    "dom-3",
    "ele-1",
    "ig-1",
    "ref-1",
    "sdf-9",
    "txt-1",
    "txt-2",
}


def test_nearly_every_invariant_of_r4_compiles():
    left = {
        key
        for (key, text), type_name in EXPRESSIONS.items()
        if not PREDICATES.compile(text, type_name).compiled
    }
    assert left == LEFT_TO_THE_EVALUATOR


def values(value, type_name, resource):
    """Every value in a resource with its type."""
    yield value, type_name, resource
    for element in DEFINITIONS.children(type_name).values():
        for name, type_ref in DEFINITIONS.json_names(element).items():
            inner = DEFINITIONS.content(type_name, element, type_ref)
            held = value.get(name, [])
            for one in held if isinstance(held, list) else [held]:
                if isinstance(one, dict) and "resourceType" in one:
                    yield from values(one, one["resourceType"], one)
                elif isinstance(one, dict):
                    yield from values(one, inner, resource)


def less(value, chance):
    """A copy of a value without one of its elements, so that rules break."""
    name = chance.choice([*value, ""])
    return {n: v for n, v in value.items() if n != name or n == "resourceType"}


def test_every_invariant_answers_as_the_evaluator_on_the_official_examples(corpus, size):
    by_type = {}
    for (_, text), type_name in EXPRESSIONS.items():
        by_type.setdefault(type_name, []).append(text)
    checked = 0
    chance = random.Random(6)
    with gzip.open(corpus / "r4" / "examples-dev.ndjson.gz") as file:
        lines = [line for line in file if len(line) < size(4_000, 60_000)]
    for line in lines[:: size(4, 1)]:
        resource = model.parse(line)
        for value, type_name, inner in values(resource, resource["resourceType"], resource):
            for text in by_type.get(type_name, ()):
                for held in (value, less(value, chance)):
                    within = held if inner is value else inner
                    predicate, (ours, theirs) = evaluated(text, held, type_name, within)
                    checked += predicate.compiled
                    assert ours == theirs, (resource.get("id"), text)
    assert checked > size(200, 5_000)

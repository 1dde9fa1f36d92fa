"""What is made to exhaust a validator is refused quickly, in bounded memory."""

import gc
import time
import tracemalloc

import psutil
import pytest
from generated import DEFINITIONS, Generator

from conformance.invariant import Compiler
from conformance.validate import Validator
from resources import model
from resources.fhirpath.environment import Environment, Limits
from resources.fhirpath.faults import FhirPathFault
from resources.fhirpath.within import Within
from resources.outcome import FhirError
from resources.xml import from_xml

VALIDATOR = Validator(DEFINITIONS)
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'
PATIENT = {"resourceType": "Patient", "id": "p"}


def timed(check):
    """What a call gives, and the seconds of CPU that it took."""
    begun = time.process_time()
    return check(), time.process_time() - begun


def errors(resource):
    return [issue for issue in VALIDATOR.check(resource) if issue.severity == "error"]


def nested(depth, make):
    """Something inside itself, so many times."""
    held = make(None)
    for _ in range(depth):
        held = make(held)
    return held


def extension(inner):
    return {"url": "u:u", "extension": [inner]} if inner else {"url": "u:u", "valueString": "x"}


def item(inner):
    return {"linkId": str(id(inner)), "type": "group", **({"item": [inner]} if inner else {})}


@pytest.mark.parametrize("depth", [200, 900, 5_000])
@pytest.mark.parametrize(
    ("make", "place"),
    [
        (extension, lambda held: {**PATIENT, "extension": [held]}),
        (item, lambda held: {"resourceType": "Questionnaire", "status": "draft", "item": [held]}),
        (
            lambda inner: (
                {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}
                | ({"contained": [inner]} if inner else {})
            ),
            lambda held: held,
        ),
    ],
)
def test_elements_nested_without_end_never_break_the_check(make, place, depth):
    resource = place(nested(depth, make))
    issues, seconds = timed(lambda: VALIDATOR.check(resource))
    assert seconds < 5
    assert all(issue.expression for issue in issues)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_nested_without_end_is_refused_when_read(opening):
    with pytest.raises(FhirError):
        model.parse(b'{"resourceType":"Patient","x":' + opening * 1_000_000)


HOSTILE_TEXTS = {
    "spaces": " ",
    "letters": "a",
    "digits": "1",
    "dots": "1.",
    "slashes": "/A",
    "base64": "AAAA ",
    "zone": "T00:00:00",
    "tags": "<a ",
    "events": "onon ",
}


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
@pytest.mark.parametrize(
    "put",
    [
        lambda text: {**PATIENT, "name": [{"family": text}]},
        lambda text: {**PATIENT, "birthDate": text},
        lambda text: {**PATIENT, "id": text},
        lambda text: {**PATIENT, "gender": text},
        lambda text: {**PATIENT, "implicitRules": text},
        lambda text: {**PATIENT, "photo": [{"contentType": "image/png", "data": text}]},
        lambda text: {**PATIENT, "managingOrganization": {"reference": "Organization/" + text}},
        lambda text: {**PATIENT, "text": {"status": "generated", "div": DIV.format(text)}},
        lambda text: {"resourceType": "ValueSet", "status": "draft", "name": text},
        lambda text: {
            "resourceType": "Bundle",
            "type": "document",
            "entry": [{"fullUrl": "http:/" + text}],
        },
    ],
)
def test_long_texts_take_time_in_proportion(put, text, size):
    length = size(200_000, 10_000_000)
    resource = put(text * (length // len(text)))
    _, seconds = timed(lambda: VALIDATOR.check(resource))
    assert seconds < max(length / 400_000, 1)


def test_a_very_long_string_is_checked_in_bounded_memory(size):
    length = size(10_000_000, 100_000_000)
    data, family = "AAAA" * (length // 4), "a" * length
    photo = {"contentType": "image/png", "data": data}
    resource = {**PATIENT, "photo": [photo], "name": [{"family": family}]}
    tracemalloc.start()
    try:  # a string has at most 1 MiB (datatypes.html#string), base64 any length
        assert [issue.expression for issue in errors(resource)] == ["Patient.name[0].family"]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * length


def test_a_rule_broken_very_often_is_told_a_hundred_times(size):
    many = size(20_000, 500_000)
    resource = {**PATIENT, "telecom": [{"value": "1"}] * many}
    issues, seconds = timed(lambda: errors(resource))
    assert len(issues) == 100
    assert seconds < many / 10_000


def test_warnings_in_great_number_hide_no_error():
    modifier = {"url": "http://a.example/m", "valueCode": "x"}
    resource = {
        **PATIENT,
        "modifierExtension": [modifier] * 1000,
        "contact": [{"gender": "male"}],
    }
    issues = VALIDATOR.check(resource)
    assert [i.expression for i in issues if i.severity == "error"] == ["Patient.contact[0]"]
    assert sum(issue.severity == "warning" for issue in issues) == 100


def test_a_structure_broken_very_often_is_told_a_hundred_times(size):
    many = size(20_000, 500_000)
    resource = {**PATIENT, "name": [{"family": 1}] * many}
    issues, seconds = timed(lambda: VALIDATOR.check(resource))
    assert len(issues) == 100
    assert seconds < many / 2_000


LAUGHS = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "laugh"}">' for n in range(12))


def test_entities_of_xml_are_never_expanded():
    patient = '<Patient xmlns="http://hl7.org/fhir"><id value="&e11;"/></Patient>'
    document = f"<!DOCTYPE Patient [{LAUGHS}]>{patient}"
    with pytest.raises(FhirError):
        from_xml(document.encode())
    narrative = f"<!DOCTYPE div [{LAUGHS}]>{DIV.format('&e11;')}"
    resource = {**PATIENT, "text": {"status": "generated", "div": narrative}}
    issues, seconds = timed(lambda: errors(resource))
    assert [issue.expression for issue in issues] == ["Patient.text.div"]
    assert seconds < 1


def evil(pattern):
    """A predicate that matches a pattern."""
    return Compiler(DEFINITIONS).compile(f"family.matches('{pattern}')", "HumanName")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(.*a){20}$", "(x+x+)+y"])
def test_patterns_of_others_take_linear_time(pattern):
    rule = evil(pattern)
    value = {"family": "a" * 200_000 + "!"}
    _, seconds = timed(lambda: rule.holds(value, Within(PATIENT), None))
    assert seconds < 2


@pytest.mark.parametrize("pattern", [r"(a)\\1", "(?=a)", "a{1000}{1000}"])
def test_patterns_that_need_backtracking_or_much_memory_are_refused(pattern):
    with pytest.raises(FhirPathFault):
        evil(pattern).holds({"family": "aa"}, Within(PATIENT), None)


def test_an_expression_that_runs_away_ends():
    text = (
        "name.repeat(given).select(%resource.descendants()).select(%resource.descendants()).empty()"
    )
    rule = Compiler(DEFINITIONS).compile(text, "Patient")
    patient = {**PATIENT, "name": [{"given": ["a"] * 3_000}]}
    with pytest.raises(FhirPathFault):
        rule.holds(patient, Within(patient, None, Environment(limits=Limits(steps=20_000))), None)


def test_validation_of_many_resources_keeps_no_memory(size, record_property):
    number = size(800, 20_000)
    kinds = sorted(DEFINITIONS.resource_types)

    def check(first, last):
        for seed in range(first, last):
            made = Generator(seed, density=0.6)
            VALIDATOR.check(made.resource(kinds[seed % len(kinds)]))

    check(0, 2 * len(kinds))  # every type's rules are compiled
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    check(2 * len(kinds), number)
    gc.collect()
    grown = process.memory_info().rss - before
    record_property(
        "proof", f"validation of {number} varied resources: {grown >> 20} MiB of memory kept"
    )
    assert grown < 24 << 20

"""Evaluation over JSON: places, types, FHIR's functions, exact numbers, and what runs away is stopped."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from resources import definitions
from resources.fhirpath.environment import Environment, Limits
from resources.fhirpath.evaluate import Evaluator
from resources.fhirpath.faults import (
    EvaluationFault,
    FhirPathFault,
    RunawayFault,
    SemanticFault,
    UnsupportedFault,
)
from resources.fhirpath.item import Item, text
from resources.fhirpath.parse import SyntaxFault
from resources.fhirpath.system import value_of

EVALUATOR = Evaluator(definitions.load())
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "contained": [
        {"resourceType": "Organization", "id": "o", "name": "Ward", "partOf": {"reference": "#"}}
    ],
    "name": [{"family": "A", "given": ["B", None, "D"], "_given": [None, {"id": "x"}]}],
    "birthDate": "1974-12-25",
    "_birthDate": {
        "extension": [{"url": "http://x/time", "valueDateTime": "1974-12-25T14:35:45Z"}]
    },
    "deceasedBoolean": False,
    "maritalStatus": {"coding": [{"system": "s", "code": "M"}]},
    "managingOrganization": {"reference": "#o"},
    "generalPractitioner": [{"reference": "Practitioner/1"}],
}


def give(expression, given=PATIENT, **environment):
    return EVALUATOR.items(expression, given, Environment(**environment))


def worth(expression, given=PATIENT, **environment):
    return [value_of(item) for item in give(expression, given, **environment)]


@pytest.mark.parametrize(
    ("expression", "places"),
    [
        (
            "name.given",
            ["Patient.name[0].given[0]", "Patient.name[0].given[1]", "Patient.name[0].given[2]"],
        ),
        ("Patient.deceased", ["Patient.deceased"]),
        ("birthDate.extension.value", ["Patient.birthDate.extension[0].value"]),
        ("contained.name", ["Patient.contained[0].name"]),
        ("name.given.where($this = 'D')", ["Patient.name[0].given[2]"]),
        ("name.family | birthDate", ["Patient.name[0].family", "Patient.birthDate"]),
        ("1 + 1", [""]),
    ],
)
def test_an_item_tells_its_place_with_indexes(expression, places):
    assert [item.place for item in give(expression)] == places


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("birthDate", "date"),
        ("name", "HumanName"),
        ("contact", None),
        ("contained", "Organization"),
        ("birthDate.extension.value", "dateTime"),
        ("birthDate.value", "System.Date"),
        ("name.count()", "System.Integer"),
        ("link.other", None),
    ],
)
def test_an_item_tells_its_type(expression, kind):
    assert {item.type for item in give(expression)} == ({kind} if kind else set())


def test_a_primitive_without_value_is_there_and_has_none():
    assert worth("name.given.select(hasValue())") == [True, False, True]
    assert worth("name.given[1].id") == ["x"]
    assert worth("name.given.getValue()") == []
    assert worth("birthDate.getValue() = @1974-12-25") == [True]


def test_decimals_are_exact_and_keep_their_digits():
    observation = {
        "resourceType": "Observation",
        "valueQuantity": {"value": Decimal("72.50"), "unit": "kg"},
    }
    assert str(worth("Observation.value.value", observation)[0]) == "72.50"
    assert worth("0.1 + 0.2 = 0.3") == [True]
    assert str(worth("1.10 * 3")[0]) == "3.30"
    assert worth("2147483647 + 1") == []


def test_quantities_convert_by_ucum():
    assert worth("37 'Cel' = 310.15 'K'") == [True]
    assert worth("98.6 '[degF]' = 37 'Cel'") == [True]
    assert worth("1 'mg/dL' = 0.01 'g/L'") == [True]
    assert worth("1 'kg' > 1 'm'") == []
    assert worth("(1 'h').toQuantity('min')")[0].value == 60
    assert worth("1 '[iU]' = 1 '[IU]'") == [True]
    assert worth("120 'mm[Hg]' > 15 'kPa'") == [True]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@2016-02-29 + 1 year", "2017-02-28"),
        ("@2024-01-31 + 1 month", "2024-02-29"),
        ("@2014 + 24 months", "2016"),
        ("@2019-03-01T00:00:00Z - 1 second", "2019-02-28T23:59:59Z"),
        ("@T23:30 + 40 minutes", "00:10"),
        ("@2012-01-01T23:00:00.000+02:00 + 2 hours", "2012-01-02T01:00:00.000+02:00"),
    ],
)
def test_time_is_added_by_the_calendar(expression, expected):
    assert str(worth(expression)[0]) == expected


def test_a_year_past_the_last_is_nothing():
    assert worth("@9999-12-31 + 1 day") == []
    assert worth("@2014 + 100000 years") == []


def test_the_time_is_given_and_stays_the_same():
    at = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    assert [str(v) for v in worth("now() | today() | timeOfDay()", now=at)] == [
        "2026-01-31T12:00:00.000Z",
        "2026-01-31",
        "12:00:00.000",
    ]
    assert worth("now() = now()") == [True]


def test_contained_resources_resolve_and_others_are_asked_for():
    assert worth("managingOrganization.resolve().name") == ["Ward"]
    assert [i.type for i in give("contained.partOf.resolve()")] == ["Patient"]
    assert give("generalPractitioner.resolve()") == []
    known = {"Practitioner/1": {"resourceType": "Practitioner", "active": True}}
    assert worth("generalPractitioner.resolve().active", resolve=known.get) == [True]
    assert worth("generalPractitioner.all(resolve() is Practitioner)", resolve=known.get) == [True]


def test_terminology_and_profiles_are_asked_for_and_absent_give_nothing():
    codes = {("s", "M")}

    def member_of(coded, value_set):
        return (
            value_set == "v" and (coded["coding"][0]["system"], coded["coding"][0]["code"]) in codes
        )

    assert worth("maritalStatus.memberOf('v')", member_of=member_of) == [True]
    assert worth("maritalStatus.memberOf('w')", member_of=member_of) == [False]
    assert worth("maritalStatus.memberOf('v')") == []
    assert worth("conformsTo('http://p')", conforms_to=lambda resource, _: "id" in resource) == [
        True
    ]
    with pytest.raises(EvaluationFault):
        give("conformsTo('http://p')")
    narrative = {"resourceType": "Patient", "text": {"status": "empty", "div": "<div/>"}}
    assert worth("text.`div`.htmlChecks()", narrative, html_checks=lambda div: div == "<div/>") == [
        True
    ]


def test_modifier_extensions_that_are_not_understood_are_a_fault():
    order = {"resourceType": "ServiceRequest", "modifierExtension": [{"url": "http://m"}]}
    assert len(give("checkModifiers('http://m')", order)) == 1
    with pytest.raises(EvaluationFault):
        give("checkModifiers('http://other')", order)


def test_the_resource_of_a_contained_item_is_not_its_root():
    (contained,) = give("contained.where(id = 'o')")
    assert value_of(EVALUATOR.items("%resource.id", contained)[0]) == "o"
    assert value_of(EVALUATOR.items("%rootResource.id", contained)[0]) == "p"
    assert EVALUATOR.items("%context.name", contained)[0].place == "Patient.contained[0].name"


def test_constants_of_the_caller_are_there_and_unknown_ones_are_a_fault():
    assert worth("%who", variables={"who": [text("me")]}) == ["me"]
    assert worth("%`ext-patient-birthTime`") == [
        "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
    ]
    with pytest.raises(SemanticFault):
        give("%nothing")


def test_trace_collects_and_prints_nothing(capsys):
    found = EVALUATOR.evaluate("name.trace('names', family).given", PATIENT)
    assert [(name, [i.value for i in items]) for name, items in found.traced] == [("names", ["A"])]
    assert capsys.readouterr() == ("", "")


def test_an_unknown_element_is_nothing_or_strictly_a_fault():
    assert give("name.nickname") == []
    assert give("Observation.code") == []
    for expression in ("name.nickname", "Observation.code", "(deceased as Period).length"):
        with pytest.raises(SemanticFault):
            give(expression, strict=True)


def test_a_boolean_is_no_number_and_a_number_no_boolean():
    assert worth("(1 | true).count()") == [2]
    assert worth("true = 1") == [False]
    with pytest.raises(FhirPathFault):
        give("true + 1")


@pytest.mark.parametrize(
    "expression",
    [
        "name.",
        "1 +",
        "'a",
        "name..given",
        "@2012-13-01 = @2012",
        "nothing()",
        "iif()",
        "name is Nothing",
    ],
)
def test_what_is_no_expression_is_a_fault(expression):
    with pytest.raises((SyntaxFault, FhirPathFault)):
        give(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "-" * 5000 + "1",
        "1" + ".abs()" * 5000,
        " | ".join(["1"] * 40_000),
        "'a'.repeat($this & 'a')",
        "'aaaaaaaaaaaaaaaa'" + ".replace('a', 'aaaaaaaaaaaaaaaa')" * 10,
        "'aaaaaaaaaaaaaaaa'" + ".replaceMatches('a', 'aaaaaaaaaaaaaaaa')" * 10,
        "(1|2|3|4|5|6|7|8|9)" + ".select((1|2|3|4|5|6|7|8|9))" * 8,
        "(1|2|3|4|5|6|7|8|9)" + ".aggregate($total.combine($total), 1|2|3)" * 3,
        "'a'.matches('" + "(a*)*" * 2000 + "')",
    ],
)
def test_what_runs_away_is_stopped(expression):
    with pytest.raises((RunawayFault, UnsupportedFault)):
        give(expression, limits=Limits(steps=20_000))


def test_a_long_chain_of_operators_is_no_runaway():
    assert worth("1" + " + 1" * 200) == [201]


def test_a_regular_expression_never_backtracks():
    assert worth("'" + "a" * 5000 + "b'.matches('^(a+)+$')") == [False]
    with pytest.raises(UnsupportedFault):
        give("'a'.matches('(?=a)')")


@pytest.mark.parametrize(
    "power", ["10.power(1000000000)", "10.0.power(999999)", "1.5.exp().exp().exp().exp().exp()"]
)
def test_a_number_too_large_to_hold_is_nothing(power):
    assert worth(power) == []


def test_hostile_json_gives_nothing():
    odd = {
        "resourceType": "Patient",
        "name": {"given": "B"},
        "_birthDate": [7],
        "birthDate": {"a": 1},
        "multipleBirthInteger": Decimal("1E+999999"),
        "contained": [7, {"resourceType": ["x"]}],
    }
    assert worth("name.given", odd) == ["B"]
    assert worth("multipleBirth.toString()", odd) == []
    assert worth("descendants().count() > 0", odd) == [True]
    assert worth("birthDate < today()", {"resourceType": "Patient", "birthDate": "soon"}) == []


def test_an_item_can_stand_alone():
    assert value_of(EVALUATOR.items("code = 'a'", Item({"code": "a"}, "Coding"))[0]) is True

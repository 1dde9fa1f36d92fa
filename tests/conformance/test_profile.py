"""Profiles in differential form: each kind of rule is kept, and broken at the right place."""

import pytest
import us_core

from conformance.profile.checked import claimed
from conformance.profile.element_tree import elements
from conformance.profile.snapshot import CORE, SnapshotFault, Snapshots
from resources import definitions

BASE = "https://example.org/StructureDefinition/"
KINDS = definitions.load()


def profile(name, type_, *rules, base=None, **more):
    """Give a profile of (path, rule) pairs; a rule with `id` stands in the slice that it names."""
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": BASE + name,
        "name": name,
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": base or CORE + type_,
        "derivation": "constraint",
        "differential": {"element": [{"path": path, **rule} for path, rule in rules]},
        **more,
    }


def told(resource, *loose):
    """Give what is wrong by the first of the definitions."""
    found = us_core.checks(loose=loose).check(resource, [loose[0]["url"]])
    return [(i.severity, i.code, i.expression) for i in found]


def observation(**more):
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **more}


def coded(*codes, system="urn:s"):
    return {"coding": [{"system": system, "code": code} for code in codes]}


def rule(name, type_="Observation", **rule_):
    return profile("p", type_, (f"{type_}.{name}", rule_))


@pytest.mark.parametrize(
    ("rules", "right", "wrong", "code", "place"),
    [
        (
            rule("subject", min=1),
            observation(subject={"reference": "Patient/1"}),
            observation(),
            "required",
            "Observation.subject",
        ),
        (rule("note", max="0"), observation(), observation(note=[{"text": "n"}]), "structure",
         "Observation.note"),
        (
            rule("status", fixedCode="final"),
            observation(),
            observation(status="amended"),
            "value",
            "Observation.status",
        ),
        (
            rule("code", patternCodeableConcept=coded("a")),
            observation(code={**coded("b", "a"), "text": "more"}),
            observation(code=coded("b")),
            "value",
            "Observation.code",
        ),
        (
            rule("code", fixedCodeableConcept=coded("a")),
            observation(code=coded("a")),
            observation(code={**coded("a"), "text": "more"}),
            "value",
            "Observation.code",
        ),
        (
            rule("value[x]", type=[{"code": "Quantity"}, {"code": "string"}]),
            observation(valueString="s"),
            observation(valueInteger=1),
            "structure",
            "Observation.value",
        ),
        (
            rule("subject", type=[{"code": "Reference", "targetProfile": [CORE + "Patient"]}]),
            observation(subject={"reference": "Patient/1"}),
            observation(subject={"reference": "Group/1"}),
            "structure",
            "Observation.subject",
        ),
        (
            rule(
                "code",
                binding={
                    "strength": "required",
                    "valueSet": "http://hl7.org/fhir/ValueSet/observation-status",
                },
            ),
            observation(code=coded("final", system="http://hl7.org/fhir/observation-status")),
            observation(code=coded("other", system="http://hl7.org/fhir/observation-status")),
            "code-invalid",
            "Observation.code",
        ),
        (
            rule("code", constraint=[
                {"key": "x-1", "severity": "error", "human": "Says", "expression": "text.exists()"}
            ]),
            observation(),
            observation(code=coded("a")),
            "invariant",
            "Observation.code",
        ),
        (
            rule("value[x]", minValueQuantity={"value": 1, "system": "http://unitsofmeasure.org",
                                               "code": "g"}),
            observation(valueQuantity={"value": 1, "system": "http://unitsofmeasure.org",
                                       "code": "kg"}),
            observation(valueQuantity={"value": 1, "system": "http://unitsofmeasure.org",
                                       "code": "mg"}),
            "value",
            "Observation.value",
        ),
        (
            rule("method.text", maxLength=3),
            observation(method={"text": "abc"}),
            observation(method={"text": "abcd"}),
            "value",
            "Observation.method.text",
        ),
    ],
    ids=["min", "max", "fixed", "pattern", "fixed whole", "types", "target", "binding",
         "constraint", "least value", "longest text"],
)  # fmt: skip
def test_a_rule_is_kept_and_broken(rules, right, wrong, code, place):
    assert told(right, rules) == []
    assert told(wrong, rules) == [("error", code, place)]


# --- slicing ----------------------------------------------------------------------------------------


def sliced(kind, path, *slices, rules="open", ordered=False, name="component"):
    """Give a profile that slices an element by one discriminator."""
    head = {
        "slicing": {
            "discriminator": [{"type": kind, "path": path}],
            "rules": rules,
            "ordered": ordered,
        }
    }
    return profile("sliced", "Observation", (f"Observation.{name}", head), *slices)


def slice_of(name, below, value, *, path="Observation.component", **more):
    return [(path, {"sliceName": name, **more}), (f"{path}.{below}", value)]


def component(code=None, **more):
    return {"code": coded(code) if code else {"text": "none"}, **more}


A = slice_of("a", "code", {"patternCodeableConcept": coded("a")}, min=1, max="1")
B = slice_of("b", "code", {"patternCodeableConcept": coded("b")}, max="1")


@pytest.mark.parametrize(
    ("rules", "ordered", "codes", "wrong"),
    [
        ("open", False, "ba", []),
        ("open", False, "b", [("required", "Observation.component")]),
        ("open", False, "aa", [("structure", "Observation.component")]),
        ("open", False, "axb", []),
        ("closed", False, "axb", [("structure", "Observation.component[1]")]),
        ("openAtEnd", False, "abx", []),
        ("openAtEnd", False, "axb", [("structure", "Observation.component[2]")]),
        ("open", True, "ab", []),
        ("open", True, "ba", [("structure", "Observation.component[1]")]),
    ],
)
def test_slices_are_counted_ordered_and_closed(rules, ordered, codes, wrong):
    rules = sliced("pattern", "code", *A, *B, rules=rules, ordered=ordered)
    found = told(observation(component=[component(c) for c in codes]), rules)
    assert [(code, place) for _, code, place in found] == wrong


def test_what_a_slice_says_below_is_asked_of_its_items_alone():
    rules = sliced(
        "value", "code", *A, *B, ("Observation.component.interpretation", {"min": 1})
    )  # the last path stands in the slice that was mentioned last
    right = observation(component=[component("a"), component("b", interpretation=[{"text": "h"}])])
    assert told(right, rules) == []
    wrong = observation(component=[component("a"), component("b")])
    assert told(wrong, rules) == [("error", "required", "Observation.component[1].interpretation")]


def test_slices_by_type_exists_and_profile():
    by_type = sliced(
        "type", "value",
        *slice_of("q", "value[x]", {"type": [{"code": "Quantity"}]}, min=1),
    )  # fmt: skip
    assert told(observation(component=[component("a", valueQuantity={"value": 1})]), by_type) == []
    assert told(observation(component=[component("a", valueString="1")]), by_type) == [
        ("error", "required", "Observation.component")
    ]
    by_exists = sliced(
        "exists", "value",
        *slice_of("with", "value[x]", {"min": 1}, max="1"),
        *slice_of("without", "value[x]", {"max": "0"}, max="0"),
    )  # fmt: skip
    assert told(observation(component=[component("a", valueString="1")]), by_exists) == []
    assert told(observation(component=[component("a")]), by_exists) == [
        ("error", "structure", "Observation.component")
    ]
    other = profile(
        "other", "Coding", ("Coding.system", {"fixedUri": "urn:s"}), kind="complex-type"
    )
    by_profile = sliced(
        "profile", "$this",
        ("Observation.code.coding", {"sliceName": "ours", "min": 1,
                                     "type": [{"code": "Coding", "profile": [other["url"]]}]}),
        name="code.coding",
    )  # fmt: skip
    assert told(observation(code=coded("a")), by_profile, other) == []
    assert told(observation(code=coded("a", system="urn:t")), by_profile, other) == [
        ("error", "required", "Observation.code.coding")
    ]


def test_a_choice_is_sliced_by_type_and_its_short_paths_mean_the_same():
    long = profile(
        "long", "Observation",
        ("Observation.value[x]", {"id": "Observation.value[x]:valueQuantity",
                                  "sliceName": "valueQuantity", "type": [{"code": "Quantity"}]}),
        ("Observation.value[x].code", {"id": "Observation.value[x]:valueQuantity.code",
                                       "fixedCode": "mg"}),
    )  # fmt: skip
    short = profile("short", "Observation", ("Observation.valueQuantity.code", {"fixedCode": "mg"}))
    wrong = observation(valueQuantity={"value": 1, "code": "kg"})
    for rules in (long, short):
        assert told(wrong, rules) == [("error", "value", "Observation.value.code")]
    assert told(observation(valueString="s"), long) == []
    assert ("error", "structure", "Observation.value") in told(observation(valueString="s"), short)


def test_a_reslice_counts_within_its_slice():
    path = "Observation.category"
    head = {"slicing": {"discriminator": [{"type": "value", "path": "coding.system"}],
                        "rules": "open"}}  # fmt: skip
    again = {"slicing": {"discriminator": [{"type": "value", "path": "coding.code"}],
                         "rules": "closed"}}  # fmt: skip
    rules = profile(
        "resliced", "Observation",
        (path, head),
        (path, {"sliceName": "s", **again}),
        (f"{path}.coding.system", {"fixedUri": "urn:s"}),
        (path, {"sliceName": "s/a", "max": "1"}),
        (f"{path}.coding.code", {"fixedCode": "a"}),
    )  # fmt: skip
    assert told(observation(category=[coded("a"), coded("z", system="urn:t")]), rules) == []
    assert told(observation(category=[coded("b")]), rules) == [
        ("error", "structure", "Observation.category[0]")
    ]
    assert ("error", "structure", "Observation.category") in told(
        observation(category=[coded("a"), coded("a")]), rules
    )


# --- extensions, nested profiles, what is not known --------------------------------------------------

EXTENSION = profile(
    "ext", "Extension",
    ("Extension.url", {"fixedUri": BASE + "ext"}),
    ("Extension.value[x]", {"min": 1, "type": [{"code": "boolean"}]}),
    kind="complex-type", context=[{"type": "element", "expression": "Patient"}],
)  # fmt: skip


def test_an_extension_is_a_slice_by_its_url_and_checked_by_its_definition():
    used = profile(
        "uses", "Patient",
        ("Patient.extension", {"sliceName": "ext", "min": 1,
                               "type": [{"code": "Extension", "profile": [EXTENSION["url"]]}]}),
    )  # fmt: skip
    right = {"resourceType": "Patient", "extension": [{"url": BASE + "ext", "valueBoolean": True}]}
    assert told(right, used, EXTENSION) == []
    wrong = {"resourceType": "Patient", "extension": [{"url": BASE + "ext", "valueString": "a"}]}
    found = told(wrong, used, EXTENSION)
    assert ("error", "structure", "Patient.extension[0].value") in found


def test_a_profile_of_a_profile_asks_for_both():
    first = profile("first", "Patient", ("Patient.name", {"min": 1}))
    second = profile("second", "Patient", ("Patient.gender", {"min": 1}), base=first["url"])
    places = [place for _, _, place in told({"resourceType": "Patient"}, second, first)]
    assert places == ["Patient.name", "Patient.gender"]


def test_contained_targets_are_checked_by_the_target_profile():
    named = profile("named", "Patient", ("Patient.name", {"min": 1}))
    rules = profile(
        "about", "Observation",
        ("Observation.subject", {"type": [{"code": "Reference", "targetProfile": [named["url"]]}]}),
    )  # fmt: skip
    patient = {"resourceType": "Patient", "id": "p", "name": [{"text": "A"}]}
    resource = observation(subject={"reference": "#p"}, contained=[patient])
    assert told(resource, rules, named) == []
    resource["contained"] = [{"resourceType": "Patient", "id": "p", "active": True}]
    assert told(resource, rules, named) == [("error", "structure", "Observation.subject")]


def test_content_references_are_followed_as_deep_as_the_data():
    rules = profile("q", "Questionnaire", ("Questionnaire.item.text", {"min": 1}))
    inner = {"linkId": "2", "type": "group", "item": [{"linkId": "3", "type": "display"}]}
    resource = {
        "resourceType": "Questionnaire",
        "status": "draft",
        "item": [{"linkId": "1", "type": "group", "text": "a", "item": [{**inner, "text": "b"}]}],
    }
    assert told(resource, rules) == [
        ("error", "required", "Questionnaire.item[0].item[0].item[0].text")
    ]


@pytest.mark.parametrize(
    "rules",
    [
        rule("subject", type=[{"code": "Reference", "targetProfile": [BASE + "unknown"]}]),
        rule("code", binding={"strength": "required", "valueSet": "urn:unknown"}),
        profile("p", "Observation", base=BASE + "unknown"),
        profile("p", "Observation", ("Observation.nothing", {"min": 1})),
        rule("code", constraint=[
            {"key": "x", "severity": "error", "human": "h", "expression": "((("}
        ]),
        {**profile("p", "Observation"), "differential": {"element": "none"}},
    ],
    ids=["target", "value set", "base", "element", "expression", "malformed"],
)  # fmt: skip
def test_what_is_not_known_or_cannot_be_used_is_a_warning(rules):
    found = told(observation(code=coded("a"), subject={"reference": "Patient/1"}), rules)
    assert [severity for severity, _, _ in found] in ([], ["warning"])


def test_an_unknown_profile_is_named_in_a_warning():
    (issue,) = us_core.checks().check(observation(), [BASE + "unknown"])
    assert (issue.severity, issue.code) == ("warning", "not-found")
    assert BASE + "unknown" in issue.diagnostics


def test_profiles_that_go_in_a_circle_end():
    around = profile("a", "Patient", base=BASE + "b")
    back = profile("b", "Patient", base=BASE + "a")
    (issue,) = us_core.checks(loose=(around, back)).check({"resourceType": "Patient"}, [BASE + "a"])
    assert issue.severity == "warning"
    linked = profile(
        "l", "Patient",
        ("Patient.link.other", {"type": [{"code": "Reference", "targetProfile": [BASE + "l"]}]}),
    )  # fmt: skip
    patients = [
        {"resourceType": "Patient", "id": me, "link": [{"other": {"reference": f"#{you}"}}]}
        for me, you in (("x", "y"), ("y", "x"))
    ]
    resource = {"resourceType": "Patient", "contained": patients,
                "link": [{"other": {"reference": "#x"}}]}  # fmt: skip
    assert told(resource, linked) == []


def test_a_profile_for_another_type_says_so():
    assert told({"resourceType": "Patient"}, profile("p", "Observation")) == [
        ("error", "structure", "Patient")
    ]


def test_claims_that_are_no_texts_are_passed_over():
    assert claimed({"resourceType": "Patient", "meta": {"profile": [1, "urn:a"]}}) == ("urn:a",)
    assert claimed({"resourceType": "Patient", "meta": []}) == ()


def test_no_issue_repeats_a_value_of_the_resource():
    rules = rule("code", patternCodeableConcept=coded("a"))
    found = us_core.checks(loose=[rules]).check(
        observation(code={"text": "SECRET"}), [rules["url"]]
    )
    assert "SECRET" not in str(found)


# --- snapshots --------------------------------------------------------------------------------------


def test_a_differential_that_constrains_what_is_not_there_is_refused():
    rules = profile("p", "Observation", ("Observation.nothing", {"min": 1}))
    canonicals = us_core.checks(loose=[rules]).canonicals
    with pytest.raises(SnapshotFault):
        Snapshots(canonicals.structure).of(rules["url"])


def test_a_snapshot_has_ids_by_slice():
    rules = sliced("pattern", "code", *A)
    found = [e["id"] for e in elements(
        Snapshots(us_core.checks(loose=[rules]).canonicals.structure).of(rules["url"])
    )]  # fmt: skip
    assert "Observation.component:a.code" in found
    assert "Observation.component.code" in found

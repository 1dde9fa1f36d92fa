"""Parameters are bound as the specification says, and whatever else is sent is refused with a sentence."""

import json

import job_world
import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_world import BASE, outcome_of

from fhir_server.message import FhirRequest
from operations.operation import CANONICAL_BASE, In, Out, operation
from resources.outcome import FhirError

INPUTS = (
    In("name", "string", "A name.", min=1),
    In("count", "integer", "A number."),
    In("_since", "instant", "An instant."),
    In("flag", "boolean", "A flag."),
    In("subject", "Reference", "A subject."),
    In("resource", "Resource", "A resource."),
    In("page", "positiveInt", "A page."),
    In("tag", "string", "Tags.", max=None),
    Out("return", "Parameters", "What was bound."),
)


@operation("echo", on="Patient", level="type instance", parameters=INPUTS)
async def echo(context, place, **bound):
    """Give what was bound."""
    return {"resourceType": "Basic", "place": str(place), **bound}


def parameters(*elements):
    return {"resourceType": "Parameters", "parameter": list(elements)}


def named(**values):
    """Give Parameters of value[x] elements: named(name=("valueString", "x"))."""
    return parameters(*({"name": name, key: value} for name, (key, value) in values.items()))


NAME = {"name": "name", "valueString": "x"}


async def call(query=(), body=None, headers=None, context=None):
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    request = FhirRequest(method, "Patient/p1/$echo", tuple(query), headers or {}, raw)
    return json.loads((await echo.answer(context or CONTEXT, request)).body)


CONTEXT = None


@pytest.fixture(autouse=True)
async def context(tmp_path, monkeypatch):
    async with job_world.opened("memory", tmp_path) as world:
        monkeypatch.setitem(globals(), "CONTEXT", world.context)
        yield world.context


async def test_a_query_is_bound_by_type():
    bound = await call(
        [
            ("name", "Ann"),
            ("count", "-12"),
            ("_since", "2026-01-02T03:04:05Z"),
            ("flag", "true"),
            ("subject", "Patient/p1"),
            ("page", "3"),
            ("tag", "a"),
            ("tag", "b"),
            ("_format", "json"),
            ("_pretty", "true"),
        ]
    )
    assert bound | {"place": ""} == {
        "resourceType": "Basic",
        "place": "",
        "name": "Ann",
        "count": -12,
        "since": "2026-01-02T03:04:05Z",
        "flag": True,
        "subject": {"reference": "Patient/p1"},
        "page": 3,
        "tag": ["a", "b"],
    }


async def test_a_parameters_resource_is_bound_by_type():
    patient = {"resourceType": "Patient", "active": True}
    body = parameters(
        NAME,
        {"name": "count", "valueInteger": 3},
        {"name": "flag", "valueBoolean": False},
        {"name": "subject", "valueReference": {"reference": "Patient/p1"}},
        {"name": "resource", "resource": patient},
        {"name": "tag", "valueString": "a"},
        {"name": "tag", "valueString": "b"},
    )
    bound = await call(body=body)
    assert (bound["count"], bound["flag"], bound["tag"]) == (3, False, ["a", "b"])
    assert bound["resource"] == patient
    assert bound["subject"] == {"reference": "Patient/p1"}


async def test_the_one_parameter_that_is_a_resource_may_be_the_body_itself():
    patient = {"resourceType": "Patient", "active": True}
    assert (await call([("name", "x")], patient))["resource"] == patient


async def test_query_and_body_count_together():
    bound = await call([("count", "1")], parameters(NAME))
    assert (bound["name"], bound["count"]) == ("x", 1)


async def test_a_plus_sign_that_was_not_escaped_is_read_in_an_instant():
    bound = await call([("name", "x"), ("_since", "2026-01-02T03:04:05 01:00")])
    assert bound["since"] == "2026-01-02T03:04:05+01:00"


async def test_instance_and_type_are_told():
    assert "p1" in (await call([("name", "x")]))["place"]
    request = FhirRequest("GET", "Patient/$echo", (("name", "x"),))
    answered = await echo.answer(CONTEXT, request)
    assert json.loads(answered.body)["place"] == "Patient"


REFUSED = [
    ([], None, "required"),
    ([("name", "a"), ("name", "b")], None, "invalid"),
    ([("name", "")], None, "value"),
    ([("name", "x"), ("count", "1.5")], None, "value"),
    ([("name", "x"), ("count", "1e3")], None, "value"),
    ([("name", "x"), ("count", "99999999999")], None, "value"),
    ([("name", "x"), ("page", "0")], None, "value"),
    ([("name", "x"), ("flag", "yes")], None, "value"),
    ([("name", "x"), ("_since", "2026")], None, "value"),
    ([("name", "x"), ("resource", "{}")], None, "value"),
    ([("name", "x"), ("other", "1")], None, "not-supported"),
    ([("name", "x"), ("na me\n", "1")], None, "not-supported"),
    ([("name", "x")], parameters(NAME), "invalid"),
    ([], named(name=("valueCode", "x")), "value"),
    ([], named(name=("value", "x")), "value"),
    ([], named(name=("valueString", 1)), "value"),
    ([], named(name=("valueString", None)), "value"),
    ([], named(name=("valueString", "x"), count=("valueInteger", 1.5)), "value"),
    ([], named(name=("valueString", "x"), count=("valueInteger", True)), "value"),
    ([], named(name=("valueString", "x"), count=("valueInteger", "1")), "value"),
    ([], named(name=("valueString", "x"), flag=("valueBoolean", "true")), "value"),
    ([], named(name=("valueString", "x"), subject=("valueReference", "Patient/1")), "value"),
    ([], named(name=("valueString", "x"), subject=("valueString", "Patient/1")), "value"),
    ([], named(name=("valueString", "x"), resource=("valueString", "{}")), "value"),
    ([], named(name=("resource", {"resourceType": "Patient"})), "value"),
    ([], parameters({**NAME, "valueCode": "y"}), "invalid"),
    ([], parameters({**NAME, "part": []}), "invalid"),
    ([], parameters({"name": "name"}), "invalid"),
    ([], parameters({"valueString": "x"}), "invalid"),
    ([], parameters("name"), "invalid"),
    ([], parameters(None), "invalid"),
    ([], {"resourceType": "Parameters", "parameter": {"name": "name"}}, "invalid"),
    ([], {"resourceType": "Parameters", "parameter": 7}, "invalid"),
    ([], {"resourceType": "Parameters", "parameter": None}, "invalid"),
    ([], {"resourceType": "Patient"}, "required"),  # it is the parameter `resource`, without a name
    ([], {"parameter": []}, "structure"),
    ([], b"[]", "structure"),
    ([], b"{", "structure"),
    ([], b"\xff", "structure"),
]


@pytest.mark.parametrize(("query", "body", "code"), REFUSED)
async def test_what_does_not_fit_is_400_with_its_issue_type(query, body, code):
    with pytest.raises(FhirError) as caught:
        await call(query, body)
    assert caught.value.status == 400
    assert caught.value.issues[0].code == code


async def test_lenient_handling_ignores_unknown_parameters_and_nothing_else():
    lenient = {"prefer": "handling=lenient"}
    assert (await call([("name", "x"), ("other", "1")], headers=lenient))["name"] == "x"
    with pytest.raises(FhirError):
        await call([("name", "x"), ("count", "x")], headers=lenient)


async def test_a_refusal_repeats_no_value():
    for query in ([("name", "x"), ("count", "Jane Roe")], [("name", "x"), ("Jane Roe", "1")]):
        with pytest.raises(FhirError) as caught:
            await call(query)
        assert "Roe" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "valueString", "valueInteger", "valueReference", "resource", "part", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
NAMES = st.sampled_from([p.name for p in INPUTS]) | st.text(max_size=6)
KEYS = st.sampled_from(["valueString", "valueInteger", "valueInstant", "valueBoolean", "resource"])


@given(
    query=st.lists(st.tuples(NAMES, st.text(max_size=12)), max_size=4),
    elements=st.lists(
        JSON | st.fixed_dictionaries({"name": NAMES}, optional={"valueString": JSON, "part": JSON}),
        max_size=4,
    ),
    body=st.none() | JSON,
)
async def test_whatever_is_sent_is_bound_or_refused_with_400(query, elements, body):
    sent = parameters(*elements) if body is None else body
    bound, refused = await attempted(query, json.dumps(sent).encode())
    if refused is None:
        assert isinstance(bound["name"], str)
    else:
        assert refused.status == 400
        assert refused.issues[0].diagnostics


async def attempted(query, body):
    """Give what was bound and None, or nothing and the refusal."""
    try:
        return await call(query, body), None
    except FhirError as refused:
        return {}, refused


def test_a_declaration_says_what_dispatch_and_definitions_need():
    route = echo.route()
    assert (route.code, route.levels) == ("echo", {"type", "instance"})
    assert (route.types, route.affects_state) == ({"Patient"}, False)
    assert echo.canonical == f"{CANONICAL_BASE}/OperationDefinition/echo"
    assert echo.documentation == "Give what was bound."


# --- operations as they are reached through the server ---


@pytest.fixture(params=job_world.STORES)
async def world(request, tmp_path):
    async with job_world.opened(request.param, tmp_path / "world") as found:
        yield found


@pytest.fixture(autouse=True)
def _folder(tmp_path):
    (tmp_path / "world").mkdir()


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "ImagingStudy/s1/$infer", 405),
        ("PUT", "ImagingStudy/s1/$infer", 405),
        ("DELETE", "$export", 405),
        ("POST", "ImagingStudy/$infer", 404),
        ("POST", "Patient/p1/$infer", 404),
        ("POST", "$infer", 404),
        ("GET", "Group/g1/$export", 404),
        ("GET", "Observation/$export", 404),
        ("GET", "Patient/p1/$export", 404),
        ("POST", "ImagingStudy/s1/x/$infer", 404),
        ("GET", "$none-such", 404),
        ("GET", "$", 404),
    ],
)
async def test_an_operation_is_where_and_how_it_is_declared(world, method, url, status):
    assert (await world.call(method, url)).status == status


async def test_an_operation_runs_as_an_entry_of_a_batch(world):
    entries = [
        {"request": {"method": "POST", "url": "$export"}, "resource": parameters()},
        {"request": {"method": "GET", "url": f"{BASE}/Patient/$export?_type=Patient"}},
        {"request": {"method": "POST", "url": "ImagingStudy/none/$infer"}},
    ]
    body = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answered = await world.give("POST", "", body)
    statuses = [entry["response"]["status"] for entry in answered["entry"]]
    assert statuses == ["202", "202", "404"]
    assert len(await world.all("Task")) == 2


async def test_an_operation_that_changes_state_is_refused_in_a_transaction_by_its_place(world):
    entry = {"request": {"method": "POST", "url": "ImagingStudy/s1/$infer"}}
    body = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    response = await world.call("POST", "", body)
    assert outcome_of(response)[0] == 400
    assert "Bundle.entry[0]" in response.body.decode()

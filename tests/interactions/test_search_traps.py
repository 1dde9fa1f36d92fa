"""Where servers go wrong in search, each as a row of a table, on every store: search.html."""

import pytest
from bodies import observation, patient

SYSTEM = "http://x.example/s"
TAGS = "http://x.example/tags"
PROFILE = "http://x.example/fhir/StructureDefinition/lipid"


def named(id_, *families, **more):
    return patient(id_, name=[{"family": family} for family in families], **more)


def coded(id_, *codings, **more):
    body = observation(id_, "Patient/strings", "x")
    coding = [{"system": s, "code": c} if s else {"code": c} for s, c in codings]
    return {**body, "code": {"coding": coding}, **more}


def part(code, value):
    return {
        "code": {"coding": [{"system": SYSTEM, "code": code}]},
        "valueQuantity": {"value": value, "code": "mm[Hg]", "system": "http://unitsofmeasure.org"},
    }


def tagged(*tags, **meta):
    return {
        "meta": {"tag": [{"system": TAGS, "code": t, "display": f"The {t}"} for t in tags], **meta}
    }


RESOURCES = [
    named("strings", "Müller-Lüdenscheidt", **tagged("red", "blue", profile=[f"{PROFILE}|2.0"])),
    named(
        "spaces", "van  der\tBerg", gender="male", **tagged("red", source="http://x.example/feed/a")
    ),
    named("comma", "O'Neil, Jr", gender="female"),
    named("dollar", "a$b|c\\d"),
    patient("bare", birthDate="1980"),
    coded("with", (SYSTEM, "a"), effectiveDateTime="2020-06-15T10:00:00Z"),
    coded("without", ("", "a"), effectiveDateTime="2020-06"),
    coded(
        "other",
        ("http://other.example", "a"),
        (SYSTEM, "b"),
        effectivePeriod={"start": "2020-06-20"},
    ),
    coded("pipe", (SYSTEM, "a|b,c"), status="amended"),
    coded("right", (SYSTEM, "z"), component=[part("sys", 120), part("dia", 80)]),
    coded("crossed", (SYSTEM, "z"), component=[part("sys", 80), part("dia", 120)]),
    *(
        {
            "resourceType": "ValueSet",
            "id": f"v{version}",
            "url": "http://x.example/vs",
            "version": version,
            "status": "draft",
        }
        for version in ("1", "2")
    ),
]

TRAPS = {
    "strings start so, without case, accents and runs of spaces": [
        ("Patient?family=mull", "strings"),
        ("Patient?family=MÜLLER-lud", "strings"),
        ("Patient?family=ludenscheidt", ""),
        ("Patient?family=van%20der%20b", "spaces"),
        ("Patient?family:exact=van%20der%20berg", ""),
        ("Patient?family:contains=LUDEN", "strings"),
    ],
    "dates are intervals": [
        ("Observation?date=2020-06", "with without"),
        ("Observation?date=2020-06-15", "with"),
        ("Observation?date=ne2020-06-15", "other without"),
        ("Observation?date=ge2020-06-20", "other without"),
        ("Observation?date=gt2020-06-15T10:00:00Z", "other without"),
        ("Observation?date=sa2020-06-15", "other"),
        ("Observation?date=eb2020-06-15", ""),
        ("Observation?date=lt2020-06-15", "without"),
        ("Observation?date=2020", "with without"),
    ],
    ":not takes in what lacks the element, and the whole element": [
        ("Patient?gender:not=male", "bare comma dollar strings"),
        ("Patient?gender:not=male&gender:not=female", "bare dollar strings"),
        (f"Observation?code:not={SYSTEM}|b&_id:not=right,crossed", "pipe with without"),
        ("Observation?status:not=final", "pipe"),
    ],
    ":missing": [
        ("Patient?gender:missing=true", "bare dollar strings"),
        ("Patient?birthdate:missing=false", "bare"),
        ("Patient?family:missing=true", "bare"),
        ("Observation?date:missing=true", "crossed pipe right"),
    ],
    "escapes": [
        ("Patient?family=O'Neil\\,%20J", "comma"),
        ("Patient?family=O'Neil,nobody", "comma"),
        ("Patient?family=a\\$b\\|c\\\\d", "dollar"),
        (f"Observation?code={SYSTEM}|a\\|b\\,c", "pipe"),
    ],
    "code, system|code, |code and system| are four questions": [
        ("Observation?code=a", "other with without"),
        (f"Observation?code={SYSTEM}|a", "with"),
        ("Observation?code=|a", "without"),
        (f"Observation?code={SYSTEM}|", "crossed other pipe right with"),
        ("Observation?code=A", ""),
    ],
    "AND by repetition, OR by comma": [
        (f"Observation?code={SYSTEM}|b,|a", "other without"),
        (f"Observation?code=a&code={SYSTEM}|b", "other"),
        (f"Observation?code=|a&code={SYSTEM}|b", ""),
        ("Patient?_id=bare,comma&_id=comma,dollar", "comma"),
    ],
    "the members of a composite are of one element": [
        (f"Observation?component-code-value-quantity={SYSTEM}|sys$gt100", "right"),
        (f"Observation?component-code-value-quantity={SYSTEM}|dia$gt100", "crossed"),
    ],
    "what is not there is neither true nor unknown": [
        ("Patient?_tag:not=http://x.example/tags|red", "bare comma dollar"),
        ("Patient?_filter=not%20(gender%20eq%20male)", "bare comma dollar strings"),
        ("Patient?_filter=not%20(birthdate%20ge%201990)", "bare comma dollar spaces strings"),
        ("Patient?_has:Observation:subject:code:not=x&gender:not=female", "strings"),
    ],
    "what is asked of one value is answered by one value": [
        ("Observation?code=http://other.example|b", ""),
        ("Patient?_tag=http://x.example/tags|red&_tag=http://x.example/tags|blue", "strings"),
    ],
    "_tag, _profile, _security, _source, _id and _lastUpdated": [
        ("Patient?_tag=red", "spaces strings"),
        ("Patient?_tag:text=the%20bl", "strings"),
        ("Patient?_tag:missing=false", "spaces strings"),
        (f"Patient?_profile={PROFILE}", "strings"),
        (f"Patient?_profile={PROFILE}|2.0", "strings"),
        (f"Patient?_profile={PROFILE}|1.0", ""),
        ("Patient?_profile:below=http://x.example/fhir", "strings"),
        ("Patient?_profile:missing=true", "bare comma dollar spaces"),
        ("Patient?_source=http://x.example/feed/a", "spaces"),
        ("Patient?_source:below=http://x.example/feed", "spaces"),
        ("Patient?_source:above=http://x.example/feed/a/b", "spaces"),
        ("Patient?_security:missing=false", ""),
        ("?_tag=blue", "strings"),
        ("?_type=Patient,Observation&_tag:not=blue&_id=strings,spaces,with", "spaces with"),
        ("?_id=bare,with", "bare with"),
        ("?_lastUpdated=lt2000-01-01", ""),
        ("?_profile:missing=false", "strings"),
        ("?_source:below=http://x.example", "spaces"),
        ("?_security:not=x&_type=ValueSet", "v1 v2"),
    ],
    "a canonical url may bring its version": [
        ("ValueSet?url=http://x.example/vs", "v1 v2"),
        ("ValueSet?url=http://x.example/vs|2", "v2"),
        ("ValueSet?url=http://x.example/vs|3", ""),
    ],
}


@pytest.fixture
async def world(door):
    return await door.holding(RESOURCES)


async def test_no_trap_is_fallen_into(world):
    wrong = {trap: await world.astray(cases) for trap, cases in TRAPS.items()}
    assert {trap: cases for trap, cases in wrong.items() if cases} == {}


async def test_system_searches_take_only_what_every_type_has(world):
    assert (await world.call("GET", "?family=x")).status == 400
    assert (await world.call("GET", "?_type=Patient,Observation&identifier=x")).status == 200
    assert (await world.call("GET", "?_type=Patient,Nothing&_id=x")).status == 404
    assert (await world.call("GET", "?_type:not=Patient")).status == 400
    assert (await world.call("GET", "Patient?_type=Patient")).status == 400


async def test_negative_zero_is_kept_with_its_sign_and_found_as_zero(door):
    raw = (
        b'{"resourceType":"Observation","id":"n","status":"final","code":{"text":"T-0, -0 "},'
        b'"valueQuantity":{"value":-0,"code":"mm","system":"http://unitsofmeasure.org"}}'
    )
    response = await door.call("PUT", "Observation/n", raw)
    assert response.status == 201
    for url in ("Observation/n", "Observation?_elements=value", "Observation/n?_summary=data"):
        assert b'"value":-0,' in (await door.call("GET", url)).body
    for query in ("0", "-0", "lt1", "gt-1", "0|http://unitsofmeasure.org|m"):
        assert await door.ids(f"Observation?value-quantity={query}") == ["n"], query
    patch = b'[{"op":"test","path":"/valueQuantity/value","value":0},{"op":"remove","path":"/code/text"},'
    patch += b'{"op":"add","path":"/code/text","value":"y"}]'
    kind = {"content_type": "application/json-patch+json"}
    assert (await door.call("PATCH", "Observation/n", patch, **kind)).status == 200
    assert b'"value":-0,' in (await door.call("GET", "Observation/n")).body


async def test_a_number_beyond_any_double_is_refused_in_a_resource_and_in_a_search(door):
    head = b'{"resourceType":"Observation","id":"n","status":"final","code":{"text":"x"},'
    for digits in (b"1e400", b"-1E301", b"1e-400", b"0e999999"):
        raw = head + b'"valueQuantity":{"value":' + digits + b"}}"
        assert (await door.call("PUT", "Observation/n", raw)).status == 400
    for asked in ("1e400", "1e-400", "0e999999", "-1E309"):
        assert (await door.call("GET", f"Observation?value-quantity={asked}")).status == 400
    for digits in (b"9.99e300", b"1E-300", b"6.02214076E+23"):
        raw = head + b'"valueQuantity":{"value":' + digits + b"}}"
        assert (await door.call("PUT", "Observation/n", raw)).status < 300
        assert await door.ids(
            f"Observation?value-quantity={digits.decode().replace('+', '%2B')}"
        ) == ["n"], digits

"""FHIR XML in and out: nothing lost, nothing let in that R4 does not have: https://hl7.org/fhir/R4/xml.html"""

import gzip
import io
import random
import zipfile
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from resources import definitions, model
from resources.outcome import Invalid
from resources.xml import from_xml, to_xml

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
DEFINITIONS = definitions.load()
PARSER = etree.XMLParser(remove_comments=True, remove_pis=True, resolve_entities=False)
SORTED = msgspec.json.Encoder(order="sorted", decimal_format="number")
DIV = f'<div xmlns="{XHTML}">A <b>bold</b>&#160;&lt;word&gt;<br/></div>'


def patient(inside, attributes=""):
    return f'<Patient xmlns="{FHIR}"{attributes}>{inside}</Patient>'.encode()


def refused(data):
    """Give the one issue that a document is refused with."""
    with pytest.raises(Invalid) as caught:
        from_xml(data)
    assert len(caught.value.issues) == 1
    return caught.value.issues[0]


def written(resource):
    return to_xml(resource).decode().partition("?>")[2]


def canonical(data):
    """Give a document in canonical XML, without the white space between FHIR's elements."""
    root = etree.fromstring(data, PARSER)
    for name in list(root.attrib):
        if "XMLSchema-instance" in name:
            del root.attrib[name]
    for element in root.iter(f"{{{FHIR}}}*"):
        element.text = None
        for child in element:
            child.tail = None
    etree.cleanup_namespaces(root)
    return etree.tostring(root, method="c14n2", with_comments=False)


def examples(corpus):
    return gzip.decompress((corpus / "r4" / "examples-dev.ndjson.gz").read_bytes()).splitlines()


def documents(corpus):
    """Give every XML file of the R4 corpus by its name."""
    for path in sorted((corpus / "r4").rglob("*.xml")):
        yield path.name, path.read_bytes()
    with zipfile.ZipFile(io.BytesIO((corpus / "r4/validator-cases-dev.zip").read_bytes())) as cases:
        for name in cases.namelist():
            if name.endswith(".xml"):
                yield name.removeprefix("files/"), cases.read(name)


# --- the corpus -----------------------------------------------------------------------------------


def test_every_official_example_goes_to_xml_and_back_with_its_digits(corpus, record_property):
    lines = examples(corpus)
    for raw in lines:
        resource = model.parse(raw)
        back = from_xml(to_xml(resource))
        assert SORTED.encode(back) == SORTED.encode(resource), resource["id"]
    record_property("proof", f"{len(lines)} official examples equal by way of XML")


def test_every_official_example_is_written_in_the_order_of_the_definitions(corpus):
    checked = 0
    for raw in examples(corpus):
        if len(raw) < 50_000:
            root = etree.fromstring(to_xml(model.parse(raw)))
            checked += in_order(root, etree.QName(root).localname)
    assert checked > 20_000


def in_order(element, path):
    """Assert the order of all that is in an element, and give how many elements that is."""
    places, contents = {}, {}
    for place, child in enumerate(DEFINITIONS.children(path).values()):
        for name, type_ref in DEFINITIONS.json_names(child).items():
            places[name] = place
            contents[name] = DEFINITIONS.content(path, child, type_ref)
    names = [etree.QName(child).localname for child in element]
    assert names == sorted(names, key=places.__getitem__), path
    count = len(names)
    for child, name in zip(element, names, strict=True):
        content = contents[name]
        if content == "Resource":
            count += in_order(child[0], etree.QName(child[0]).localname)
        elif content != "xhtml":
            count += in_order(child, content)
    return count


NO_R4_RESOURCE = {
    "tests-fhir-r4.xml": "namespace",
    "fhir-patch-tests.xml": "namespace",
    "xml-patch-tests.xml": "namespace",
    "observation-example.xml": "order",
    "uuid-ext.xml": "order",
    "Observation-ex-pain.xml": "attribute",
    "bundle-dual-subject.xml": "once",
    "capabilitystatement-measure-processor.xml": "no element",
    "pat-security-bad-string2.xml": "no element",
}


def test_every_document_of_the_corpus_comes_back_equal_in_canonical_xml(corpus, record_property):
    count, said = 0, {}
    for name, data in documents(corpus):
        try:
            resource = from_xml(data)
        except Invalid as fault:
            said[name] = fault.issues[0].diagnostics
            continue
        for pretty in (False, True):
            assert canonical(to_xml(resource, pretty=pretty)) == canonical(data), name
        count += 1
    assert said.keys() == NO_R4_RESOURCE.keys()
    assert all(why in said[name] for name, why in NO_R4_RESOURCE.items())
    record_property("proof", f"{count} XML documents of the corpus equal in canonical XML")
    assert count > 100


# --- what goes out --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ({"active": True, "id": "a"}, '<id value="a"/><active value="true"/>'),
        ({"multipleBirthInteger": 2}, '<multipleBirthInteger value="2"/>'),
        (
            {"_birthDate": {"id": "b", "extension": [{"url": "u", "valueBoolean": False}]}},
            '<birthDate id="b"><extension url="u"><valueBoolean value="false"/></extension></birthDate>',
        ),
        (
            {"name": [{"given": ["A", None], "_given": [None, {"extension": [{"url": "u"}]}]}]},
            '<name><given value="A"/><given><extension url="u"></extension></given></name>',
        ),
        (
            {"name": [{"_given": [{"id": "x"}], "id": "n"}]},
            '<name id="n"><given id="x"/></name>',
        ),
        (
            {"name": [{"text": '<&>"\n\t\r é \U0001f600'}]},
            '<name><text value="&lt;&amp;>&quot;&#10;&#9;&#13; é \U0001f600"/></name>',
        ),
        (
            {"contained": [{"resourceType": "Basic", "code": {"text": "c"}}]},
            '<contained><Basic><code><text value="c"/></code></Basic></contained>',
        ),
        (
            {"text": {"div": f" {DIV}\n", "status": "generated"}},
            f'<text><status value="generated"/>{DIV}</text>',
        ),
    ],
)
def test_json_is_written_as_the_specification_shows(resource, expected):
    resource = {"resourceType": "Patient", **resource}
    assert written(resource) == f'<Patient xmlns="{FHIR}">{expected}</Patient>'


PLAIN_DIGITS = ["0.10", "100", "1E-22", "-1.000E+245", "0.000", "5", "-0.0"]
OTHER_DIGITS = ["1E5", "1e2", "1E+05", "1.0e-10", "0.00000001", "0e0", "12345678901234567890123"]


@pytest.mark.parametrize("digits", [*PLAIN_DIGITS, *OTHER_DIGITS])
def test_a_decimal_keeps_its_digits_both_ways(digits):
    raw = f'{{"resourceType":"Observation","valueQuantity":{{"value":{digits}}}}}'.encode()
    document = to_xml(model.parse(raw))
    assert f'<value value="{digits}"/>'.encode() in document
    assert model.serialise(from_xml(document)) == raw


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
)
@example("-0")
def test_any_decimal_keeps_its_digits_by_way_of_the_other_format(digits):
    exponent = Decimal(digits).adjusted() if "e" in digits.lower() else 0
    raw = f'{{"resourceType":"Observation","valueQuantity":{{"value":{digits}}}}}'.encode()
    quantity = f'<valueQuantity><value value="{digits}"/></valueQuantity>'
    document = f'<Observation xmlns="{FHIR}">{quantity}</Observation>'
    if abs(exponent) > model.LARGEST_EXPONENT:
        assert refused(document.encode()).diagnostics == model.NO_NUMBER
        with pytest.raises(Invalid, match=model.NO_NUMBER):
            model.parse(raw)
        return
    assert written(model.parse(raw)) == document
    assert model.serialise(from_xml(document.encode())) == raw


def test_indented_xml_leaves_the_narrative_alone():
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": DIV}}
    document = to_xml(resource, pretty=True)
    assert b'\n  <text>\n    <status value="generated"/>\n' in document
    assert DIV.encode() in document
    assert from_xml(document) == resource


@pytest.mark.parametrize(
    ("resource", "expression"),
    [
        ({"resourceType": "Nonsense"}, None),
        ({"resourceType": 5}, None),
        ({"resourceType": "Patient", "nonsense": 1}, "Patient"),
        ({"resourceType": "Patient", "active": "true"}, "Patient.active"),
        ({"resourceType": "Patient", "name": {"family": "x"}}, "Patient.name"),
        (
            {"resourceType": "Patient", "name": [{}, {"given": ["a", 1]}]},
            "Patient.name[1].given[1]",
        ),
        ({"resourceType": "Patient", "name": [{"family": "\x01"}]}, "Patient.name[0].family"),
        ({"resourceType": "Patient", "name": [{"family": "\ud800"}]}, "Patient.name[0].family"),
        ({"resourceType": "Patient", "name": [None]}, "Patient.name[0]"),
        ({"resourceType": "Patient", "text": {"div": "<div>"}}, "Patient.text.div"),
        ({"resourceType": "Patient", "text": {"div": "<p/>"}}, "Patient.text.div"),
        ({"resourceType": "Patient", "text": {"div": "<div/>"}}, "Patient.text.div"),
        ({"resourceType": "Patient", "contained": [{"id": "a"}]}, "Patient.contained[0]"),
        ({"resourceType": "Patient", "multipleBirthInteger": 1.5}, "Patient.multipleBirth"),
        (
            {"resourceType": "Patient", "name": [{"given": ["a"], "_given": []}]},
            "Patient.name[0].given",
        ),
        (
            {"resourceType": "Patient", "name": [{"given": [None], "_given": [None]}]},
            "Patient.name[0].given[0]",
        ),
        (
            {
                "resourceType": "Bundle",
                "entry": [{"resource": {"resourceType": "Observation", "valueInteger": "1"}}],
            },
            "Bundle.entry[0].resource.value",
        ),
    ],
)
def test_what_xml_has_no_place_for_is_refused_at_its_place(resource, expression):
    with pytest.raises(Invalid) as caught:
        to_xml(resource)
    assert caught.value.issues[0].expression == expression


def test_json_that_is_nested_without_end_is_refused():
    extension = {"url": "u"}
    for _ in range(2_000):
        extension = {"url": "u", "extension": [extension]}
    with pytest.raises(Invalid, match="too deep"):
        to_xml({"resourceType": "Patient", "extension": [extension]})


# --- what comes in --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ('<active value="false"/>', {"active": False}),
        ("<!-- c --><?p i?><active value='true'><!-- c --></active>", {"active": True}),
        ('<multipleBirthInteger value="-3"/>', {"multipleBirthInteger": -3}),
        ('<name id="n"><given id="g"/></name>', {"name": [{"id": "n", "_given": [{"id": "g"}]}]}),
        (
            '<name><given value="A"/><given><extension url="u"/></given><given value="B"/></name>',
            {
                "name": [
                    {
                        "given": ["A", None, "B"],
                        "_given": [None, {"extension": [{"url": "u"}]}, None],
                    }
                ]
            },
        ),
        (
            '<contained><Basic><id value="b"/></Basic></contained>',
            {"contained": [{"resourceType": "Basic", "id": "b"}]},
        ),
        (f"<text>{DIV}</text>", {"text": {"div": DIV}}),
        (f'<text><div xmlns="{XHTML}"/></text>', {"text": {"div": f'<div xmlns="{XHTML}"/>'}}),
        ('<name><text value="a&#10;b&amp;&quot;"/></name>', {"name": [{"text": 'a\nb&"'}]}),
    ],
)
def test_xml_is_read_as_the_specification_shows(inside, expected):
    assert from_xml(patient(inside)) == {"resourceType": "Patient", **expected}


def test_a_prefix_a_byte_order_mark_and_a_schema_hint_change_nothing():
    plain = from_xml(patient(f'<text><status value="empty"/>{DIV}</text>'))
    prefixed = (
        '\ufeff<?xml version="1.0" encoding="utf-8" standalone="yes"?>\r\n'
        f'<f:Patient xmlns:f="{FHIR}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{FHIR} patient.xsd">'
        f'<f:text><f:status value="empty"/>{DIV}</f:text></f:Patient>'
    )
    assert from_xml(prefixed.encode()) == plain


def test_a_narrative_that_leans_on_prefixes_outside_it_declares_its_namespace_itself():
    inside = (
        '<text><h:div title="&lt;t&gt;" xml:lang="de">A <h:b>b</h:b><!-- c --><h:br/> c</h:div>'
        "</text>"
    )
    resource = from_xml(patient(inside, f' xmlns:h="{XHTML}"'))
    assert resource["text"]["div"] == (
        f'<div xmlns="{XHTML}" title="&lt;t&gt;" xml:lang="de">A <b>b</b><br/> c</div>'
    )
    assert canonical(to_xml(resource)) == canonical(
        patient(f"<text>{resource['text']['div']}</text>")
    )


def test_numbers_are_typed_as_json_would_have_them():
    inside = '<component><valueQuantity><value value="{}"/></valueQuantity></component>'
    values = ["1", "1.0", "-0.50", "1e3", "123456789012345678901234567890"]
    document = "".join(inside.format(value) for value in values)
    read = from_xml(f'<Observation xmlns="{FHIR}">{document}</Observation>'.encode())
    numbers = [part["valueQuantity"]["value"] for part in read["component"]]
    assert [isinstance(number, Decimal) for number in numbers] == [False, True, True, True, True]
    assert [str(number) for number in numbers] == ["1", "1.0", "-0.50", "1e3", values[4]]


@pytest.mark.parametrize(
    ("data", "sentence", "expression"),
    [
        (b"", "well-formed", None),
        (b"{}", "well-formed", None),
        (b"<Patient/>", "namespace", None),
        (patient("").replace(b"Patient", b"Nonsense"), "no resource type", None),
        (patient("<active value='true'>"), "well-formed", "Patient.active"),
        (patient("\xff").decode().encode("latin-1"), "well-formed", "Patient"),
        (b'<?xml version="1.0" encoding="iso-8859-1"?>' + patient(""), "UTF-8", None),
        (patient("").decode().encode("utf-16"), "well-formed", None),
        (patient("<nonsense/>"), "Patient has no element", "Patient.nonsense"),
        (patient("<a-1.b/>"), "Patient has no element", "Patient"),
        (patient('<active xmlns="" value="true"/>'), "namespace", "Patient"),
        (patient('<active value="true"/><active value="true"/>'), "once", "Patient.active"),
        (patient('<birthDate value="2000"/><active value="true"/>'), "order", "Patient.active"),
        (
            patient('<deceasedBoolean value="true"/><deceasedDateTime value="2000"/>'),
            "once",
            "Patient.deceased",
        ),
        (patient('<active value="yes"/>'), "true or false", "Patient.active"),
        (patient('<active value=" true"/>'), "true or false", "Patient.active"),
        (patient("<active/>"), "value or extensions", "Patient.active"),
        (patient('<active value="true" other="1"/>'), "boolean has no attribute", "Patient.active"),
        (patient('<name url="u"/>'), "HumanName has no attribute", "Patient.name[0]"),
        (patient("", ' id="a"'), "Patient has no attribute", "Patient"),
        (patient("text"), "attribute value", "Patient"),
        (patient("<active>true</active>"), "attribute value", "Patient.active"),
        (patient("<active><value value='a'/></active>"), "no element", "Patient.active.value"),
        (patient('<multipleBirthInteger value="1.0"/>'), "whole number", "Patient.multipleBirth"),
        (patient('<multipleBirthInteger value="+0"/>'), "whole number", "Patient.multipleBirth"),
        (patient('<multipleBirthInteger value="++1"/>'), "whole number", "Patient.multipleBirth"),
        (patient('<multipleBirthInteger value="+01"/>'), "whole number", "Patient.multipleBirth"),
        (patient("<contained/>"), "A resource stands here", "Patient.contained[0]"),
        (patient("<contained><Basic/><Basic/></contained>"), "not several", "Patient.contained[0]"),
        (patient("<contained><p/></contained>"), "no resource type", "Patient.contained[0]"),
        (patient("<text><div/></text>"), "no element", "Patient.text.div"),
        (
            patient(f'<text><p xmlns="{XHTML}"/></text>'),
            "namespace",
            "Patient.text",
        ),
        (
            patient('<name/><name><given value="a"/><given/></name>'),
            "value or extensions",
            "Patient.name[1].given[1]",
        ),
    ],
)
def test_what_r4_does_not_have_is_refused_at_its_place(data, sentence, expression):
    issue = refused(data)
    assert sentence in issue.diagnostics
    assert issue.expression == expression


@pytest.mark.parametrize(
    "text",
    [
        *("+1", "+1.5", ".5", "01", "1.", "NaN", "INF", "0x1", "1e", "١", "1e99999999999999999999"),
        *("1e400", "1E-301"),
    ],
)
def test_a_decimal_that_json_could_not_write_is_refused(text):
    inside = f'<valueQuantity><value value="{text}"/></valueQuantity>'
    issue = refused(f'<Observation xmlns="{FHIR}">{inside}</Observation>'.encode())
    assert (issue.code, issue.expression) == ("value", "Observation.value.value")


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("valueInteger", "+3", 3),
        ("valuePositiveInt", "+12", 12),
        ("valueUnsignedInt", "12", 12),
        ("valueUnsignedInt", "+12", None),
    ],
)
def test_a_plus_is_read_where_r4_allows_one(name, text, read):
    data = patient(f'<extension url="u"><{name} value="{text}"/></extension>')
    if read is None:
        assert "whole number" in refused(data).diagnostics
        return
    resource = from_xml(data)
    assert resource["extension"][0][name] == read
    assert f'<{name} value="{read}"/>'.encode() in to_xml(resource)


@pytest.mark.parametrize("name", ["valueDecimal", "valueInteger"])
def test_negative_zero_keeps_its_sign_both_ways(name):
    raw = f'{{"resourceType":"Patient","extension":[{{"url":"u","{name}":-0}}]}}'.encode()
    document = to_xml(model.received(raw))
    assert f'<{name} value="-0"/>'.encode() in document
    assert model.serialise(from_xml(document)) == raw


def test_a_refusal_repeats_nothing_that_was_sent():
    for inside in (
        '<active value="SECRET"/>',
        "<SECRET-1/>",
        '<active SECRET="1"/>',
        "SECRET",
        "<a SECRET",
    ):
        issue = refused(patient(inside))
        assert "SECRET" not in issue.diagnostics + (issue.expression or "")


def test_an_element_that_is_called_resource_type_is_one_like_any_other():
    instance = {"resourceId": "i", "resourceType": "Patient", "_resourceType": {"id": "x"}}
    resource = {"resourceType": "ExampleScenario", "instance": [instance]}
    assert '<resourceId value="i"/><resourceType id="x" value="Patient"/>' in written(resource)
    assert from_xml(to_xml(resource)) == resource
    with pytest.raises(Invalid, match="definition does not have"):
        to_xml({"resourceType": "Patient", "name": [{"resourceType": "HumanName"}]})


# --- attacks --------------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "subset",
    [
        '[<!ENTITY e SYSTEM "file:///etc/passwd">]',
        '[<!ENTITY % e SYSTEM "http://127.0.0.1:9/x.dtd"> %e;]',
        f'[<!ENTITY a0 "ha">{LAUGHS}]',
        '[<!ATTLIST active value CDATA "true">]',
        'SYSTEM "http://127.0.0.1:9/x.dtd"',
        'PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "xhtml1-strict.dtd"',
        "",
    ],
)
def test_a_document_type_declaration_is_refused_before_it_is_read(subset):
    document = f"<!DOCTYPE Patient {subset}>".encode() + patient('<id value="&e;&a11;"/>')
    assert "document type" in refused(document).diagnostics


def test_entities_that_nobody_declared_are_refused():
    assert "well-formed" in refused(patient('<id value="&nbsp;"/>')).diagnostics
    narrative = patient(f'<text><div xmlns="{XHTML}">&nbsp;</div></text>')
    assert "well-formed" in refused(narrative).diagnostics


def test_elements_nested_without_end_are_refused():
    deep = '<extension url="u">' * 100_000
    assert refused(patient(deep)).code == "too-long"
    div = f'<text><div xmlns="{XHTML}">{"<b>" * 100_000}{"</b>" * 100_000}</div></text>'
    assert from_xml(patient(div))["text"]["div"].startswith("<div")


# --- anything at all ------------------------------------------------------------------------------

SAMPLE = patient(
    f'<id value="a"/><text><status value="generated"/>{DIV}</text>'
    '<contained><Basic><id value="b"/></Basic></contained>'
    '<extension url="u"><valueDecimal value="1.50"/></extension><active value="true"/>'
    '<name id="n"><given value="A"/><given><extension url="u"/></given></name>'
    '<birthDate value="2000"><extension url="u"><valueCode value="c"/></extension></birthDate>'
    '<multipleBirthInteger value="2"/>'
)
PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        b"< > /> </ \" & &# \x00 <![CDATA[ <!-- <? : <active/> <name> </name> <Patient> xmlns=''".split()
    ),
)


def written_or_refused(resource):
    """The document of a resource, None where XML has no place for what it holds."""
    try:
        return to_xml(resource)
    except Invalid:
        return None


def held_or_refused(data):
    """Whether a document is refused or comes back as the same resource."""
    try:
        resource = from_xml(data)
    except Invalid:
        return True
    document = written_or_refused(resource)
    return document is None or SORTED.encode(from_xml(document)) == SORTED.encode(resource)


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 30), PIECES), max_size=4))
def test_mutated_xml_is_read_to_the_same_again_or_refused(cuts):
    data = SAMPLE
    for at, length, piece in cuts:
        data = data[:at] + piece + data[at + length :]
    assert held_or_refused(data)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data):
    assert held_or_refused(data)
    assert held_or_refused(patient("").replace(b"</", data + b"</"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def well_formed(document):
    return etree.fromstring(document).tag == f"{{{FHIR}}}Patient"


@given(JSON, st.integers(0, 2**32))
def test_mutated_json_is_written_and_read_back_or_refused(value, seed):
    resource = model.copy(from_xml(SAMPLE))
    choose = random.Random(seed)
    held = resource
    while True:
        at = choose.choice(list(held) if isinstance(held, dict) else range(len(held)))
        if isinstance(held[at], dict | list) and held[at] and choose.random() < 0.7:
            held = held[at]
            continue
        held[at] = value
        break
    document = written_or_refused(resource)
    assert document is None or well_formed(document)

"""Links in narratives: those of a and img are replaced, and no other character changes."""

from xml.parsers import expat
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.interactions import narrative_links

LINKS = {"urn:uuid:a": "Patient/1", "urn:uuid:b&c": "Basic/2#'\"<>"}
REPLACED = {("a", "href"), ("img", "src")}
TEXTS = st.lists(
    st.sampled_from(
        [*LINKS, ' href="urn:uuid:a" ', " src='urn:uuid:a'", "<a ", ">", '"', "'", "<!-", "é", "="]
    ),
    max_size=4,
).map("".join)
SPACE = st.sampled_from(["", " ", "\n"])


@st.composite
def attributes(draw):
    """Give attributes as they may be written, each name once."""
    names = draw(
        st.lists(st.sampled_from(["href", "src", "alt", "data-href", "hrefs"]), unique=True)
    )
    made = []
    for name in names:
        quote = draw(st.sampled_from("\"'"))
        value = draw(st.sampled_from([*LINKS, "urn:uuid:c"]) | TEXTS)
        written = escape(value, {'"': "&quot;"} if quote == '"' else {"'": "&#39;"})
        made.append(f" {name}{draw(SPACE)}={draw(SPACE)}{quote}{written}{quote}")
    return "".join(made) + draw(SPACE)


@st.composite
def elements(draw, held=st.just("")):  # noqa: B008 - a strategy
    name = draw(st.sampled_from(["a", "img", "p", "abbr"]))
    return f"<{name}{draw(attributes())}>{draw(held)}</{name}>"


PIECES = st.one_of(
    TEXTS.map(escape),
    TEXTS.map(lambda text: f"<!--{text.replace('-', '')}-->"),
    TEXTS.map(lambda text: f"<![CDATA[{text}]]>"),
    TEXTS.map(lambda text: f"<?x {text.replace('?', '')}?>"),
    elements(),
    elements(elements()),
)
NARRATIVES = st.lists(PIECES, max_size=6).map(lambda pieces: f"<div>{''.join(pieces)}</div>")


def told(narrative, change=lambda _name, attributes: attributes):
    """Give what an XML parser reads in a narrative, each start tag's attributes changed."""
    found = []
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, held: found.append(("<", name, change(name, held)))
    parser.EndElementHandler = lambda name: found.append((">", name))
    parser.CharacterDataHandler = lambda text: found.append(("text", text))
    parser.CommentHandler = lambda text: found.append(("comment", text))
    parser.StartCdataSectionHandler = lambda: found.append(("cdata",))
    parser.ProcessingInstructionHandler = lambda name, text: found.append(("?", name, text))
    parser.Parse(narrative, True)
    return found


def linked(link):
    return LINKS.get(link, link)


def by_hand(name, held):
    return {n: linked(v) if (name, n) in REPLACED else v for n, v in held.items()}


@given(narrative=NARRATIVES)
def test_links_of_a_and_img_are_replaced_and_nothing_else(narrative):
    made = narrative_links.replaced(narrative, linked)
    assert told(made) == told(narrative, by_hand)


@given(narrative=NARRATIVES)
def test_what_holds_no_such_link_stays_to_the_letter(narrative):
    assert narrative_links.replaced(narrative, lambda link: link) == narrative


@given(text=TEXTS)
def test_what_is_no_xml_is_gone_through_too(text):
    asked = []
    narrative_links.replaced(text + 'href="', lambda link: asked.append(link) or link)
    assert len(asked) <= text.count("href") + 1


@pytest.mark.parametrize("piece", ["<a", "<a ", '<a "', "<a href", "<!--", "<![CDATA[", "<?", "'<"])
def test_what_is_broken_takes_no_longer_for_being_long(piece):
    """Were its time the square of its length, this would not end for hours."""
    narrative = "href" + piece * 200_000
    assert narrative_links.replaced(narrative, linked) == narrative

"""Extraction as a whole: on real resources, and on malformed ones (FHIR R4 search.html#ptypes)."""

import copy
import gzip
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.index_values import Source, extractor
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.values import ELSEWHERE
from resources.definitions import load
from resources.fhirpath.compile import Compiler
from resources.fhirpath.parse import parse
from resources.model import parse as parse_resource

PARAMETERS = SearchParameters(load())


def everything(found):
    lists = (found.tokens, found.texts, found.dates, found.numbers)
    return list(chain(*lists, found.quantities, found.references, found.uris))


def corpus_examples(corpus, limit=60_000):
    with gzip.open(corpus / "r4/examples-dev.ndjson.gz") as lines:
        return [parse_resource(line) for line in lines if len(line) < limit]


def source(type_, atom):
    branches = Compiler(load()).branches(parse(atom.name), type_)
    return Source(atom.name, atom.kind, branches)


def every_atom(parameter):
    """The atoms of a parameter, and of the members of a composite."""
    parts = [part.parameter for context in parameter.contexts for part in context.parts]
    return [atom for one in (parameter, *parts) for atom in one.atoms]


def test_one_visit_finds_what_each_path_alone_finds(corpus):
    alone = {}
    for resource in corpus_examples(corpus):
        type_ = resource["resourceType"]
        if type_ not in alone:
            atoms = {atom for p in PARAMETERS.of(type_).values() for atom in every_atom(p)}
            alone[type_] = [extractor([source(type_, atom)], load()) for atom in atoms]
        separate = {value for extract in alone[type_] for value in everything(extract(resource))}
        together = [v for v in everything(PARAMETERS.values(resource)) if ELSEWHERE not in v.atom]
        assert set(together) == separate
        assert len(together) == len(separate)


def test_parameters_without_values_are_missing_not_empty(corpus):
    for resource in corpus_examples(corpus):
        for value in everything(PARAMETERS.values(resource)):
            assert value.atom.startswith(resource["resourceType"])
            assert any(getattr(value, name, "") != "" for name in value.__struct_fields__[1:])


MALFORMED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.decimals(allow_nan=True),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["coding", "value", "system", "low", "event"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
OBSERVATION = {
    "code": {"coding": [{"system": "urn:a", "code": "1"}]},
    "subject": {"reference": "Patient/1", "identifier": {"value": "1"}},
    "effectiveTiming": {"event": ["2024"], "repeat": {"boundsPeriod": {"start": "2024"}}},
    "valueQuantity": {"value": 1, "unit": "mg"},
    "component": [{"valueQuantity": {"value": 1}, "code": {"coding": [{"code": "2"}]}}],
    "meta": {"profile": ["http://x.example"], "tag": [{"code": "1"}]},
    "extension": [{"url": "urn:a"}],
}


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


PLACES = [path for path in places(OBSERVATION) if path]


@given(st.sampled_from(PLACES), MALFORMED)
def test_a_malformed_value_harms_nothing_that_other_elements_give(path, malformed):
    resource = {"resourceType": "Observation", **copy.deepcopy(OBSERVATION)}
    rest = {name: value for name, value in resource.items() if name != path[0]}
    holder = resource
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = malformed
    of_the_rest = everything(PARAMETERS.values(rest))
    assert set(of_the_rest) <= set(everything(PARAMETERS.values(resource)))

"""What the CapabilityStatement says of searches: every modifier that is declared, the general parameters."""

from conformance.capability_statement import Offered, capability_statement
from fhir_server import registry
from fhir_server.search import modifiers
from fhir_server.search.modifier import Modifier
from fhir_server.settings import Settings
from fhir_server.statements import declared_statements
from resources import definitions


def test_the_statement_names_the_modifiers_of_each_type_of_parameter():
    offered = declared_statements(Settings(), definitions.load()).offered("http://x.example/fhir")
    declared = registry.discover(modifiers, Modifier, "fhir_server.modifiers")
    pairs = {(type_, one.code) for one in declared for type_ in one.on}
    assert {(t, code) for t, codes in offered.modifiers.items() for code in codes} == pairs


def test_the_statement_has_the_parameters_of_all_types():
    plain = Offered((), (), {}, frozenset({"token"}), modifiers={"token": ["not", "text"]})
    held = capability_statement(
        definitions.load(), plain, base="http://x.example", version="1", date="2020-01-01"
    )
    rest = held["rest"][0]
    assert "Modifiers: token :not, :text" in rest["documentation"]
    assert {"_type", "_id", "_lastUpdated", "_list", "_filter"} <= {
        one["name"] for one in rest["searchParam"]
    }
    for resource in rest["resource"]:
        assert {"_id", "_tag", "_list", "_filter"} <= {
            one["name"] for one in resource["searchParam"]
        }

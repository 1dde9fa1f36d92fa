"""What the settings make of the services that interactions work with."""

from conformance.checks import Policy
from fhir_server.app.interactions import leeway
from fhir_server.settings import Settings


def test_modifier_extensions_are_stored_with_a_warning_unless_a_setting_refuses_them():
    assert leeway(Settings()) == Policy("allow", frozenset())
    strict = Settings(modifier_extensions="refuse", understood_modifiers=("http://a.example/m",))
    assert leeway(strict) == Policy("refuse", frozenset({"http://a.example/m"}))

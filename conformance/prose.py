"""Rules that R4 states in words and not as invariants, as FHIRPath on the element that they are about.

Each names the page that states it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from resources.definitions import Invariant

_SCHEME = "[A-Za-z][A-Za-z0-9+.\\\\-]*:"


def _rule(key: str, human: str, expression: str, *, severity: str = "error") -> Invariant:
    return Invariant(key, severity, human, expression)


_ABSOLUTE_URL = _rule(
    "canonical.html#url",
    "The canonical URL of a resource is absolute",
    f"url.empty() or url.hasValue().not() or url.matches('^{_SCHEME}')",
)
_CANONICAL_RESOURCES = (
    *("ActivityDefinition", "CapabilityStatement", "ChargeItemDefinition", "CodeSystem"),
    *(
        "CompartmentDefinition",
        "ConceptMap",
        "EffectEvidenceSynthesis",
        "EventDefinition",
        "Evidence",
    ),
    *("EvidenceVariable", "ExampleScenario", "GraphDefinition", "ImplementationGuide", "Library"),
    *("Measure", "MessageDefinition", "OperationDefinition", "PlanDefinition", "Questionnaire"),
    *(
        "ResearchDefinition",
        "ResearchElementDefinition",
        "RiskEvidenceSynthesis",
        "SearchParameter",
    ),
    *("StructureDefinition", "StructureMap", "TerminologyCapabilities", "TestScript", "ValueSet"),
)

PROSE: Mapping[str, tuple[Invariant, ...]] = MappingProxyType(
    {
        **dict.fromkeys(_CANONICAL_RESOURCES, (_ABSOLUTE_URL,)),
        "Bundle.entry": (
            _rule(
                "bundle.html#fullUrl",
                "fullUrl is an absolute URL, a urn:uuid or a urn:oid",
                f"fullUrl.hasValue().not() or fullUrl.matches('^{_SCHEME}')",
            ),
        ),
        "CodeSystem": (
            _ABSOLUTE_URL,
            _rule(
                "codesystem.html#content",
                "A code system whose content is not present holds no concepts",
                "content != 'not-present' or concept.empty()",
            ),
        ),
        "Coding": (
            _rule(
                "datatypes.html#Coding",
                "The system of a coding is an absolute URI",
                "system.contains(':') or system.hasValue().not()",
            ),
        ),
        "Identifier": (
            _rule(
                "datatypes.html#Identifier",
                "Where the system is urn:ietf:rfc:3986, the value is a full URI",
                "system.empty() or system != 'urn:ietf:rfc:3986' or value.hasValue().not() "
                "or value.contains(':')",
                severity="warning",
            ),
        ),
        "ValueSet.compose.include": (
            _rule(
                "valueset.html#compositions",
                "The system of an include is an absolute URI",
                "system.contains(':') or system.hasValue().not()",
            ),
        ),
    }
)
"""By type or path, the rules on its values."""

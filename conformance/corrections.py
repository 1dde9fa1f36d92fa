"""R4's invariants that other rules here check, and those whose FHIRPath does not say what they mean.

Each entry tells why; docs/validation.md lists them (FHIR R4 conformance-rules.html#constraints).
"""

from collections.abc import Mapping
from types import MappingProxyType

CHECKED_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "dom-2": "contained resources (conformance/contained.py)",
        "dom-3": "contained resources (conformance/contained.py)",
        "dom-4": "contained resources (conformance/contained.py)",
        "dom-5": "contained resources (conformance/contained.py)",
        "ele-1": "the structure: no element is empty (conformance/schema.py)",
        "ext-1": "the structure of Extension (conformance/schema.py)",
        "ref-1": "references to contained resources (conformance/contained.py)",
        "txt-1": "the narrative (conformance/narrative.py)",
        "txt-2": "the narrative (conformance/narrative.py)",
    }
)
"""By key, the rules that check an invariant in another way than by its FHIRPath."""

_NAME = "name.empty() or name.matches('^[A-Z]([A-Za-z0-9_]){0,254}$')"
_ELEMENT = r"[^\\s\\.,:;\\\'\"\\/|?!@#$%&*()\\[\\]{}]{1,64}"

CORRECTED: Mapping[str, str] = MappingProxyType(
    {
        # matches() is true of a part of the text (FHIRPath N1 5.6.9), which the names do not mean
        "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')": _NAME,
    }
)
"""By the published expression, the one that is checked instead."""

CORRECTED_KEYS: Mapping[str, str] = MappingProxyType(
    {
        # a CodeableConcept is never equal to a string, so that every category breaks the rule
        "con-3": (
            "clinicalStatus.exists() or verificationStatus.coding.where(system='http://terminology.hl7.org/"
            "CodeSystem/condition-ver-status' and code = 'entered-in-error').exists() or category.coding"
            ".where(system='http://terminology.hl7.org/CodeSystem/condition-category' and "
            "code='problem-list-item').empty()"
        ),
        # an upper bound that is no number gives nothing, which is not what the rule lets pass
        "eld-3": "$this = '*' or $this.matches('^[0-9]+$')",
        "eld-19": f"path.matches('^{_ELEMENT}(\\\\.{_ELEMENT}(\\\\[x\\\\])?(\\\\:[^\\\\s\\\\.]+)?)*$')",
        "eld-20": r"path.matches('^[A-Za-z][A-Za-z0-9]*(\\.[a-z][A-Za-z0-9]*(\\[x])?)*$')",
        # an entry without fullUrl gives nothing
        "bdl-8": "fullUrl.empty() or fullUrl.contains('/_history/').not()",
        # no upper bound gives nothing
        "md-1": "max.empty() or max = '*' or max.matches('^0*[1-9][0-9]*$')",
        # "more than one", it says
        "que-12": "enableWhen.count() > 1 implies enableBehavior.exists()",
        # no probability is no decimal
        "ras-2": "probability.empty() or ((probability is decimal) implies (probability as decimal) <= 100)",
        # in takes a single item, and there may be several
        "tim-9": (
            "offset.empty() or (when.exists() and "
            "when.where($this in ('C' | 'CM' | 'CD' | 'CV')).empty())"
        ),
        # Boolean is the type of System, which no element has; the rule means FHIR's
        "que-7": "operator = 'exists' implies (answer is boolean)",
        # children() are all of a definition's, of which only these two have elements
        "sdf-9": (
            "(snapshot | differential).element.where(path.contains('.').not()).all("
            "label.empty() and code.empty() and requirements.empty())"
        ),
    }
)
"""By key, the expression that is checked instead of the published one."""


def expression(key: str, published: str) -> str:
    """Give the expression to check an invariant by."""
    return CORRECTED_KEYS.get(key) or CORRECTED.get(published, published)

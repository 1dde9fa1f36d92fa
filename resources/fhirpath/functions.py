"""Every function of FHIRPath that is known here, by name (FHIRPath N1 5, FHIR R4 fhirpath.html#functions)."""

from collections.abc import Mapping
from types import MappingProxyType

from resources.fhirpath.function import Function
from resources.fhirpath.functions_collections import COLLECTION_FUNCTIONS
from resources.fhirpath.functions_conversion import CONVERSION_FUNCTIONS
from resources.fhirpath.functions_fhir import FHIR_FUNCTIONS
from resources.fhirpath.functions_math import MATH_FUNCTIONS
from resources.fhirpath.functions_strings import STRING_FUNCTIONS
from resources.fhirpath.functions_time import TIME_FUNCTIONS

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        **COLLECTION_FUNCTIONS,
        **CONVERSION_FUNCTIONS,
        **STRING_FUNCTIONS,
        **MATH_FUNCTIONS,
        **TIME_FUNCTIONS,
        **FHIR_FUNCTIONS,
    }
)
"""By name; is, as, ofType and sort take types or signs, and are lowered in their own modules."""

"""Why an expression has no result: what is wrong with it, or with what it was given (FHIRPath N1 1.9)."""


class FhirPathFault(ValueError):
    """An expression that cannot be evaluated; the message names no content of a resource."""


class SemanticFault(FhirPathFault):
    """It names what is not there: an unknown function, type, constant, or element of a known type."""


class EvaluationFault(FhirPathFault):
    """It does what its operands do not allow, e.g. compares a number to a string."""


class RunawayFault(FhirPathFault):
    """It takes more steps, or makes more text, than one evaluation may."""


class UnsupportedFault(FhirPathFault):
    """It is right, and asks for what is not done here, e.g. a look-ahead in a regular expression."""

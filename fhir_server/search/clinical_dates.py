"""The main date of each resource type: what a store keeps beside its tokens and references."""

from types import MappingProxyType

# The parameter of a type's main date where it is not `date`. Each has one atom with one value.
PARAMETERS = MappingProxyType(
    {
        "Account": "period",
        "AllergyIntolerance": "date",
        "Basic": "created",
        "Bundle": "timestamp",
        "ChargeItem": "occurrence",
        "Claim": "created",
        "ClaimResponse": "created",
        "Communication": "sent",
        "CommunicationRequest": "authored",
        "Condition": "recorded-date",
        "Contract": "issued",
        "CoverageEligibilityRequest": "created",
        "CoverageEligibilityResponse": "created",
        "DetectedIssue": "identified",
        "DeviceRequest": "authored-on",
        "DocumentManifest": "created",
        "ExplanationOfBenefit": "created",
        "Goal": "start-date",
        "ImagingStudy": "started",
        "Media": "created",
        "MedicationAdministration": "effective-time",
        "MedicationDispense": "whenhandedover",
        "MedicationRequest": "authoredon",
        "MedicationStatement": "effective",
        "NutritionOrder": "datetime",
        "PaymentNotice": "created",
        "PaymentReconciliation": "created",
        "Provenance": "recorded",
        "QuestionnaireResponse": "authored",
        "RequestGroup": "authored",
        "ServiceRequest": "authored",
        "Slot": "start",
        "Specimen": "collected",
        "Task": "authored-on",
        "TestReport": "issued",
        "VisionPrescription": "datewritten",
    }
)


def parameter(type_: str) -> str:
    """Give the code of the date parameter that has a type's main date, where it has one."""
    return PARAMETERS.get(type_, "date")

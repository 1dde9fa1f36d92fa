"""A caller's access as search expressions, so that it is and-ed into every plan.

Membership of a patient's compartment comes from the CompartmentDefinition's parameters alone.
Types that hold no patient's data are open to a compartment-limited grant that names them; Task and
Device only where `patient` is the patient; all else is absent.
"""

from collections.abc import Callable

from fhir_server.access import Access, Grant, Letter
from fhir_server.search.expression import ALWAYS, NEVER, And, Expression, Ids, Or, Reference
from fhir_server.search.parameters import Parameter, SearchParameters

WITHOUT_PATIENT_DATA = frozenset(
    {
        "ActivityDefinition",
        "CapabilityStatement",
        "ChargeItemDefinition",
        "CodeSystem",
        "CompartmentDefinition",
        "ConceptMap",
        "DeviceDefinition",
        "Endpoint",
        "HealthcareService",
        "ImplementationGuide",
        "InsurancePlan",
        "Library",
        "Location",
        "Measure",
        "Medication",
        "MedicationKnowledge",
        "NamingSystem",
        "OperationDefinition",
        "Organization",
        "OrganizationAffiliation",
        "PlanDefinition",
        "Practitioner",
        "PractitionerRole",
        "Questionnaire",
        "SearchParameter",
        "StructureDefinition",
        "StructureMap",
        "Substance",
        "TerminologyCapabilities",
        "ValueSet",
    }
)
_BY_PATIENT_PARAMETER = frozenset({"Task", "Device"})

CriteriaLower = Callable[[str, tuple[tuple[str, str], ...]], Expression]


def compartment(
    parameters: SearchParameters, compartment_type: str, type_: str, id_: str
) -> Expression:
    """Give what a type's resources must satisfy to be in a compartment (R4 compartmentdefinition.html)."""
    members = parameters.compartment(compartment_type, type_)
    own: tuple[Expression, ...] = (Ids((id_,)),) if type_ == compartment_type else ()
    return Or(own + tuple(_refers(parameter, compartment_type, id_) for parameter in members))


def _refers(parameter: Parameter, type_: str, id_: str) -> Expression:
    return Or(tuple(Reference(atom.name, type_, id_) for atom in parameter.atoms))


def allowed(
    access: Access,
    letter: Letter,
    type_: str,
    parameters: SearchParameters,
    criteria: CriteriaLower,
) -> Expression:
    """Give what a resource must satisfy for this caller; NEVER where no grant speaks of the type."""
    if access.unlimited(type_, letter):
        return ALWAYS
    return Or(
        tuple(
            And((_within(grant, type_, parameters), criteria(type_, grant.query)))
            for grant in access.grants_for(type_, letter)
        )
    )


def _within(grant: Grant, type_: str, parameters: SearchParameters) -> Expression:
    if grant.patient is None or type_ in WITHOUT_PATIENT_DATA:
        return ALWAYS
    if type_ in _BY_PATIENT_PARAMETER:
        patient = parameters.get(type_, "patient")
        return _refers(patient, "Patient", grant.patient) if patient else NEVER
    return compartment(parameters, "Patient", type_, grant.patient)

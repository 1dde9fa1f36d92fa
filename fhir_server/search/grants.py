"""A caller's access as search expressions, so that it is and-ed into every plan.

Membership of a patient's compartment comes from the CompartmentDefinition's parameters alone.
Types that hold no patient's data are open to a compartment-limited grant that names them; Task and
Device only where `patient` is the patient; all else is absent.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fhir_server.access import Access, Clearance, Grant, Letter, Withheld
from fhir_server.search.expression import (
    ALWAYS,
    NEVER,
    Expression,
    Ids,
    Linked,
    Not,
    Reference,
    Token,
    both,
    either,
)
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
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_ABOVE: Mapping[Clearance, tuple[str, ...]] = MappingProxyType(
    {"N": ("R", "V"), "R": ("V",), "V": ()}
)
"""The confidentiality codes that each clearance does not reach."""
_BY_PATIENT_PARAMETER = frozenset({"Task", "Device"})

CriteriaLower = Callable[[str, tuple[tuple[str, str], ...]], Expression]


def compartment(
    parameters: SearchParameters, compartment_type: str, type_: str, id_: str
) -> Expression:
    """Give what a type's resources must satisfy to be in a compartment (R4 compartmentdefinition.html)."""
    members = parameters.members(compartment_type, type_)
    own: tuple[Expression, ...] = (Ids((id_,)),) if type_ == compartment_type else ()
    return either((*own, *[Reference(atom, compartment_type, id_) for atom in members]))


def _refers(parameter: Parameter, type_: str, id_: str) -> Expression:
    return either(Reference(atom.name, type_, id_) for atom in parameter.atoms)


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
    parts: list[Expression] = []
    if not access.granted(type_, letter):
        parts.append(_any(access.grants_for(type_, letter), type_, parameters, criteria))
        limits = access.limits_for(type_, letter)
        if limits is not None:
            parts.append(_any(limits, type_, parameters, criteria))
    if access.withholds(type_):
        parts.append(Not(withheld(access, type_, parameters)))
    return both(parts)


def withheld(access: Access, type_: str, parameters: SearchParameters) -> Expression:
    """Give what labels and Consents keep from this caller, of a type that the grants cover."""
    parts = [
        _security(type_, parameters, f"{CONFIDENTIALITY}|{code}")
        for code in _ABOVE[access.clearance]
    ]
    parts += [_consented(one, type_, parameters) for one in access.withheld if one.speaks_of(type_)]
    return either(parts)


def _consented(one: Withheld, type_: str, parameters: SearchParameters) -> Expression:
    parts: list[Expression] = [compartment(parameters, "Patient", type_, one.patient)]
    if one.labels:
        parts.append(either(_security(type_, parameters, label) for label in one.labels))
    permitted = [
        _security_of(exception, type_, parameters)
        for exception in one.unless
        if exception.speaks_of(type_)
    ]
    if permitted:
        parts.append(Not(either(permitted)))
    return both(parts)


def _security_of(exception: Withheld, type_: str, parameters: SearchParameters) -> Expression:
    if not exception.labels:
        return ALWAYS
    return either(_security(type_, parameters, label) for label in exception.labels)


def _security(type_: str, parameters: SearchParameters, label: str) -> Expression:
    system, _, code = label.rpartition("|")
    found = parameters.get(type_, "_security")
    atoms = found.atoms if found else ()
    return either(Token(atom.name, system, code) for atom in atoms)


def _any(
    grants: tuple[Grant, ...], type_: str, parameters: SearchParameters, criteria: CriteriaLower
) -> Expression:
    return either(
        both(
            (
                _within(grant, type_, parameters),
                _whose(grant, type_, parameters, criteria),
                criteria(type_, grant.query),
            )
        )
        for grant in grants
    )


def _within(grant: Grant, type_: str, parameters: SearchParameters) -> Expression:
    if grant.patient is None or type_ in WITHOUT_PATIENT_DATA:
        return ALWAYS
    if type_ in _BY_PATIENT_PARAMETER:
        patient = parameters.get(type_, "patient")
        return _refers(patient, "Patient", grant.patient) if patient else NEVER
    return compartment(parameters, "Patient", type_, grant.patient)


def _whose(
    grant: Grant, type_: str, parameters: SearchParameters, criteria: CriteriaLower
) -> Expression:
    """Give that a resource is of a patient who satisfies an attribute rule, or holds no patient's data."""
    if not grant.whose or type_ in WITHOUT_PATIENT_DATA:
        return ALWAYS
    patients = criteria("Patient", grant.whose)
    if type_ == "Patient":
        return patients
    members = parameters.compartment("Patient", type_)
    if type_ in _BY_PATIENT_PARAMETER:
        found = parameters.get(type_, "patient")
        members = (found,) if found else ()
    atoms = dict.fromkeys(atom.name for parameter in members for atom in parameter.atoms)
    return either(Linked(atom, "Patient", patients) for atom in atoms)

"""Code tables of HL7 v2 as FHIR codes (v2-to-FHIR IG, concept maps; HL7 v2.5.1 appendix A)."""

from collections.abc import Mapping
from typing import NamedTuple

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
V3_ACT_CODE = TERMINOLOGY + "v3-ActCode"
V3_MARITAL = TERMINOLOGY + "v3-MaritalStatus"
V3_NULL = TERMINOLOGY + "v3-NullFlavor"
V3_PARTICIPATION = TERMINOLOGY + "v3-ParticipationType"
V3_ROLE = TERMINOLOGY + "v3-RoleCode"
IDENTIFIER_TYPE = TERMINOLOGY + "v2-0203"
SNOMED = "http://snomed.info/sct"


class Code(NamedTuple):
    """A code in a code system, with its display."""

    system: str
    code: str
    display: str

    @property
    def json(self) -> dict[str, str]:
        """Give the Coding."""
        return {"system": self.system, "code": self.code, "display": self.display}


IMAGING = Code(SNOMED, "363679005", "Imaging")

ADMINISTRATIVE_SEX: Mapping[str, str] = {  # table 0001
    "F": "female",
    "M": "male",
    "O": "other",
    "U": "unknown",
    "A": "other",
    "N": "other",
}

_DOMESTIC_PARTNER = Code(V3_MARITAL, "T", "Domestic partner")
_LEGALLY_SEPARATED = Code(V3_MARITAL, "L", "Legally Separated")

MARITAL_STATUS: Mapping[str, Code] = {  # table 0002
    "A": _LEGALLY_SEPARATED,
    "D": Code(V3_MARITAL, "D", "Divorced"),
    "M": Code(V3_MARITAL, "M", "Married"),
    "S": Code(V3_MARITAL, "S", "Never Married"),
    "W": Code(V3_MARITAL, "W", "Widowed"),
    "C": Code(V3_MARITAL, "C", "Common Law"),
    "G": _DOMESTIC_PARTNER,
    "P": _DOMESTIC_PARTNER,
    "R": _DOMESTIC_PARTNER,
    "E": _LEGALLY_SEPARATED,
    "N": Code(V3_MARITAL, "A", "Annulled"),
    "I": Code(V3_MARITAL, "I", "Interlocutory"),
    "B": Code(V3_MARITAL, "U", "unmarried"),
    "U": Code(V3_NULL, "UNK", "unknown"),
    "O": Code(V3_NULL, "OTH", "other"),
    "T": Code(V3_NULL, "NAVU", "Not available"),
}

_V2_0004 = TERMINOLOGY + "v2-0004"

PATIENT_CLASS: Mapping[str, Code] = {  # table 0004, Encounter.class
    "E": Code(V3_ACT_CODE, "EMER", "emergency"),
    "I": Code(V3_ACT_CODE, "IMP", "inpatient encounter"),
    "O": Code(V3_ACT_CODE, "AMB", "ambulatory"),
    "P": Code(V3_ACT_CODE, "PRENC", "pre-admission"),
    "R": Code(_V2_0004, "R", "Recurring patient"),
    "B": Code(_V2_0004, "B", "Obstetrics"),
    "C": Code(_V2_0004, "C", "Commercial Account"),
    "N": Code(_V2_0004, "N", "Not Applicable"),
    "U": Code(_V2_0004, "U", "Unknown"),
}
CLASS_UNKNOWN = Code(V3_NULL, "UNK", "unknown")

ENCOUNTER_STATUS: Mapping[str, str] = {  # table 0004, Encounter.status
    "P": "planned",
    "U": "unknown",
    "": "unknown",
}

_V2_0007 = TERMINOLOGY + "v2-0007"

ADMISSION_TYPE: Mapping[str, Code] = {  # table 0007
    "A": Code(_V2_0007, "A", "Accident"),
    "E": Code(_V2_0007, "E", "Emergency"),
    "L": Code(_V2_0007, "L", "Labor and Delivery"),
    "R": Code(_V2_0007, "R", "Routine"),
    "N": Code(_V2_0007, "N", "Newborn (Birth in healthcare facility)"),
    "U": Code(_V2_0007, "U", "Urgent"),
    "C": Code(_V2_0007, "C", "Elective"),
}

AMBULATORY_STATUS_SYSTEM = TERMINOLOGY + "v2-0009"  # table 0009

NAME_TYPE: Mapping[str, str] = {  # table 0200, HumanName.use
    "BAD": "old",
    "D": "usual",
    "L": "official",
    "M": "maiden",
    "MSK": "anonymous",
    "N": "nickname",
    "NAV": "temp",
    "NOUSE": "old",
    "R": "official",
    "S": "anonymous",
    "TEMP": "temp",
}

ADDRESS_USE: Mapping[str, str] = {  # table 0190, Address.use
    "BA": "old",
    "BI": "billing",
    "C": "temp",
    "B": "work",
    "H": "home",
    "O": "work",
}

ADDRESS_TYPE: Mapping[str, str] = {"M": "postal", "SH": "postal"}  # table 0190, Address.type

TELECOM_USE: Mapping[str, str] = {  # table 0201
    "PRN": "home",
    "WPN": "work",
    "PRS": "mobile",
    "ORN": "home",
    "VHN": "temp",
}

TELECOM_SYSTEM: Mapping[str, str] = {  # table 0202
    "PH": "phone",
    "CP": "phone",
    "FX": "fax",
    "MD": "other",
    "SAT": "phone",
    "BP": "pager",
    "INTERNET": "email",
    "X.400": "email",
    "TDD": "other",
    "TTY": "other",
}

PRIORITY: Mapping[str, str] = {  # tables 0485 and 0027, ServiceRequest.priority
    "S": "stat",
    "A": "asap",
    "R": "routine",
    "U": "urgent",
    "P": "urgent",
    "C": "urgent",
    "T": "urgent",
}

ORDER_STATUS: Mapping[str, str] = {  # table 0038
    "A": "active",
    "CA": "revoked",
    "CM": "completed",
    "DC": "revoked",
    "ER": "entered-in-error",
    "HD": "on-hold",
    "IP": "active",
    "RP": "revoked",
    "SC": "active",
}

ORDER_CONTROL: Mapping[str, str] = {  # table 0119, those that an order message may carry to us
    "NW": "active",
    "SN": "active",
    "NA": "active",
    "OK": "active",
    "XO": "active",
    "XX": "active",
    "XR": "active",
    "PA": "active",
    "CH": "active",
    "PR": "active",
    "RO": "active",
    "RL": "active",
    "OE": "active",
    "OR": "active",
    "SC": "unknown",
    "HD": "on-hold",
    "OH": "on-hold",
    "HR": "on-hold",
    "CA": "revoked",
    "OC": "revoked",
    "CR": "revoked",
    "DC": "revoked",
    "OD": "revoked",
    "DR": "revoked",
    "RP": "revoked",
    "RU": "revoked",
}
ENDING_CONTROL = frozenset(code for code, status in ORDER_CONTROL.items() if status == "revoked")
STATUS_CONTROL = ENDING_CONTROL | {"HD", "OH", "HR", "RL", "OE", "OR", "SC"}

ORDER_TYPE: Mapping[str, Code] = {  # table 0482, ServiceRequest.locationCode
    "I": Code(V3_ROLE, "HOSP", "Hospital"),
    "O": Code(V3_ROLE, "OF", "Outpatient facility"),
}

DIAGNOSTIC_SECTION_SYSTEM = TERMINOLOGY + "v2-0074"
IMAGING_SECTIONS = frozenset(  # table 0074, sections whose orders are for imaging
    {"RAD", "RX", "CT", "CTH", "CUS", "IMG", "NMR", "NMS", "OUS", "RUS", "VUS", "XRC"}
)
OTHER_SECTIONS = frozenset(  # table 0074, sections whose orders are not
    {
        "AU", "BG", "BLB", "CG", "CH", "CP", "EC", "EN", "GE", "HM", "ICU", "IMM", "LAB", "MB", "MCB",
        "MYC", "NRS", "OSL", "OT", "OTH", "PAR", "PAT", "PF", "PHR", "PHY", "PT", "RC", "RT", "SP",
        "SR", "TX", "URN", "VR",
    }
)  # fmt: skip

_HL7_TABLE = "HL7"

CODE_SYSTEMS: Mapping[str, str] = {  # table 0396
    "LN": "http://loinc.org",
    "SCT": SNOMED,
    "SCT2": SNOMED,
    "SNM": SNOMED,
    "SNOMED": SNOMED,
    "SNOMED-CT": SNOMED,
    "UCUM": "http://unitsofmeasure.org",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "ICD10": "http://hl7.org/fhir/sid/icd-10",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "ICD-10-CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "I9": "http://hl7.org/fhir/sid/icd-9-cm",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "C4": "http://www.ama-assn.org/go/cpt",
    "CPT": "http://www.ama-assn.org/go/cpt",
    "CPT4": "http://www.ama-assn.org/go/cpt",
    "C5": "http://www.ama-assn.org/go/cpt",
    "HCPCS": "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "NDC": "http://hl7.org/fhir/sid/ndc",
    "CVX": "http://hl7.org/fhir/sid/cvx",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "RADLEX": "http://radlex.org",
    "RPID": "http://radlex.org",
    "ATC": "http://www.whocc.no/atc",
    "ISO3166_1": "urn:iso:std:iso:3166",
    "ISO639": "urn:ietf:bcp:47",
    "HL70296": "urn:ietf:bcp:47",
    "NULLFL": V3_NULL,
}


def code_system(name: str) -> str | None:
    """Give the URI of a coding system by its name in table 0396, or of an HL7 table; None if unknown."""
    upper = name.upper()
    if upper in CODE_SYSTEMS:
        return CODE_SYSTEMS[upper]
    table = upper.removeprefix(_HL7_TABLE)
    if table != upper and len(table) == 4 and table.isascii() and table.isdigit():
        return f"{TERMINOLOGY}v2-{table}"
    return None

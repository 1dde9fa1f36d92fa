"""DICOM codes to FHIR Codings: code sequences, body parts, sides (PS3.16 8 and Annex L)."""

from typing import Any

from dicomweb_bridge import attributes
from dicomweb_bridge.attributes import Attributes

SNOMED = "http://snomed.info/sct"

_SCHEMES = {
    "SCT": SNOMED,
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "LN": "http://loinc.org",
    "RADLEX": "http://radlex.org",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "C4": "http://www.ama-assn.org/go/cpt",
    "UCUM": "http://unitsofmeasure.org",
}
_BODY_PARTS = {
    "ABDOMEN": ("818981001", "Abdomen"),
    "ABDOMENPELVIS": ("818982008", "Abdomen and Pelvis"),
    "ANKLE": ("70258002", "Ankle joint"),
    "BRAIN": ("12738006", "Brain"),
    "BREAST": ("76752008", "Breast"),
    "CHEST": ("816094009", "Chest"),
    "CSPINE": ("122494005", "Cervical spine"),
    "ELBOW": ("16953009", "Elbow joint"),
    "EXTREMITY": ("66019005", "Extremity"),
    "FOOT": ("56459004", "Foot"),
    "HAND": ("85562004", "Hand"),
    "HEAD": ("69536005", "Head"),
    "HEART": ("80891009", "Heart"),
    "HIP": ("24136001", "Hip joint"),
    "KIDNEY": ("64033007", "Kidney"),
    "KNEE": ("72696002", "Knee"),
    "LIVER": ("10200004", "Liver"),
    "LSPINE": ("122496007", "Lumbar spine"),
    "LUNG": ("39607008", "Lung"),
    "NECK": ("45048000", "Neck"),
    "PELVIS": ("816092008", "Pelvis"),
    "SHOULDER": ("16982005", "Shoulder"),
    "SKULL": ("89546000", "Skull"),
    "SPINE": ("421060004", "Spine"),
    "TSPINE": ("122495006", "Thoracic spine"),
    "WHOLEBODY": ("38266002", "Entire body"),
    "WRIST": ("74670003", "Wrist joint"),
}
_SIDES = {"R": ("24028007", "Right"), "L": ("7771000", "Left"), "B": ("51440002", "Bilateral")}


def coding(item: Attributes) -> dict[str, str] | None:
    """Give the Coding of a code sequence's item, None without a code (PS3.3 8.1)."""
    code = next(
        (
            found
            for tag in ("00080100", "00080119", "00080120")
            if (found := attributes.text(item, tag))
        ),
        "",
    )
    if not code:
        return None
    system = _SCHEMES.get(attributes.text(item, "00080102").upper())
    meaning = attributes.text(item, "00080104")
    return {
        **({"system": system} if system else {}),
        "code": code,
        **({"display": meaning} if meaning else {}),
    }


def concepts(found: Attributes, *tags: str) -> tuple[dict[str, Any], ...]:
    """Give the CodeableConcepts of code sequences, each once."""
    unique: dict[str, dict[str, Any]] = {}
    for tag in tags:
        for item in attributes.items(found, tag):
            code, meaning = coding(item), attributes.text(item, "00080104")
            concept = {
                **({"coding": [code]} if code else {}),
                **({"text": meaning} if meaning else {}),
            }
            if concept:
                unique.setdefault(repr(concept), concept)
    return tuple(unique.values())


def body_site(found: Attributes) -> dict[str, str] | None:
    """Give the Coding of a series' body part: its coded region, else Body Part Examined."""
    for item in attributes.items(found, "00082218"):
        if code := coding(item):
            return code
    part = attributes.text(found, "00180015")
    if not part:
        return None
    known = _BODY_PARTS.get(part.upper().replace(" ", ""))
    return _snomed(known) if known else {"display": part}


def laterality(found: Attributes) -> dict[str, str] | None:
    """Give the Coding of a series' side, None where it is unpaired or unknown."""
    known = _SIDES.get(attributes.text(found, "00200060").upper())
    return _snomed(known) if known else None


def _snomed(known: tuple[str, str]) -> dict[str, str]:
    return {"system": SNOMED, "code": known[0], "display": known[1]}

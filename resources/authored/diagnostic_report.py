"""DiagnosticReport: a preliminary report of what software measured (FHIR R4 diagnosticreport.html)."""

from collections.abc import Sequence

from resources.authored.study_context import StudyContext
from resources.model import Resource

LOINC = "http://loinc.org"
SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"


def preliminary_imaging(
    identifier: dict[str, str],
    results: Sequence[str],
    context: StudyContext,
    conclusion: str,
    issued: str,
) -> Resource:
    """Give a preliminary imaging report over results; `results` are references."""
    study = {
        "system": LOINC,
        "code": "18748-4",
        "display": "Diagnostic imaging study",
    }
    radiology = {"system": SECTION, "code": "RAD", "display": "Radiology"}
    return {
        "resourceType": "DiagnosticReport",
        "identifier": [identifier],
        "status": "preliminary",
        "category": [{"coding": [radiology]}],
        "code": {"coding": [study]},
        **context.elements(),
        "issued": issued,
        "result": [{"reference": result} for result in results],
        "imagingStudy": [context.study],
        "conclusion": conclusion,
    }

"""A model's result → one transaction: Device, Observations, Provenance, preliminary DiagnosticReport.

Identity is deterministic. Device and Observations are conditional updates by identifier and the
Provenance has an id made of the same names, so that the same version run again on the same study
replaces what it said before. The report is a conditional create: once it is there, it belongs to the
people who finalise it, and its results are the very Observations that a new run renews.
"""

import uuid
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from ai_observations import coding, registry
from ai_observations.coding import CANONICAL_BASE
from ai_observations.imaging_input import DICOM_UID
from ai_observations.model import ImagingModel, Output
from ai_observations.result import Measure, Result
from resources.authored import (
    device,
    diagnostic_report,
    document_reference,
    observation,
    provenance,
)
from resources.authored.study_context import StudyContext
from resources.model import Resource

MODEL_SYSTEM = f"{CANONICAL_BASE}/sid/imaging-model"
RESULT_SYSTEM = f"{CANONICAL_BASE}/sid/imaging-result"
DIGEST_SYSTEM = f"{CANONICAL_BASE}/sid/sha256"
COMPONENT_SYSTEM = f"{CANONICAL_BASE}/sid/software-component"

_ABSENT = {
    "unknown": "Unknown",
    "not-applicable": "Not Applicable",
    "not-performed": "Not Performed",
    "error": "Error",
}


class _Run(Struct, frozen=True):
    """What every resource of one result repeats."""

    result: Result
    model: ImagingModel
    context: StudyContext
    now: str
    ran_on: str

    def identifier(self, what: str) -> dict[str, str]:
        """Name a resource of this study, model and version; the same for each run."""
        value = f"{self.result.study_uid}/{self.model.name}/{what}"
        return {"system": RESULT_SYSTEM, "value": value}


def results_bundle(
    study: Resource, result: Result, model: ImagingModel, *, now: str, ran_on: str | None = None
) -> Resource:
    """Give the transaction that stores a result of a stored ImagingStudy.

    `now` is an instant; `ran_on` names what computed it, by default the result's device. Outputs
    that do not apply to the kind of image are left out.
    """
    run = _Run(result, model, StudyContext.of(study), now, ran_on or result.device)
    about = _entry(_device(model), "PUT")
    measured = [
        _entry(_observation(measure, run, about["fullUrl"]), "PUT")
        for measure in result.measures
        if measure.absent != "not-applicable"
    ]
    urls = [entry["fullUrl"] for entry in measured]
    report = _entry(
        diagnostic_report.preliminary_imaging(
            run.identifier("report"), urls, run.context, _conclusion(model), now
        ),
        "POST",
    )
    entries = [about, *measured, *_pictures(run, about["fullUrl"]), report]
    entries.append(_provenance(run, urls, about["fullUrl"]))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _pictures(run: _Run, device_url: str) -> list[dict[str, Any]]:
    """Give the entry that keeps the run's pictures, the mask drawn over the image first; none without."""
    result, shown = run.result, []
    if result.overlay:
        meanings = ", ".join(result.mask.meanings.values()) if result.mask else "mask"
        shown.append(document_reference.Picture(f"Mask over the image: {meanings}", result.overlay))
    if result.picture:
        shown.append(document_reference.Picture("The image that was measured", result.picture))
    if not shown:
        return []
    identifier = run.identifier("pictures")
    made = document_reference.pictures(identifier, shown, run.context, device_url, run.now)
    return [_entry(made, "PUT")]


def _entry(resource: Resource, method: str) -> dict[str, Any]:
    """Give a conditional update (PUT) or conditional create (POST) by the resource's identifier."""
    kind, identifier = resource["resourceType"], resource["identifier"][0]
    query = f"identifier={quote(identifier['system'], safe='/:')}%7C{quote(identifier['value'])}"
    request = {"method": method, "url": kind}
    if method == "PUT":
        request["url"] = f"{kind}?{query}"
    else:
        request["ifNoneExist"] = query
    return {
        "fullUrl": f"urn:uuid:{_uuid(kind, identifier['system'], identifier['value'])}",
        "resource": resource,
        "request": request,
    }


def _uuid(*names: str) -> uuid.UUID:
    """Give the UUID that names stand for."""
    return uuid.uuid5(uuid.NAMESPACE_URL, " ".join((CANONICAL_BASE, *names)))


def _device(model: ImagingModel) -> Resource:
    """Give the Device of a model's version, with the SHA-256 of its code and weights."""
    return device.software(
        device.Software(
            identifier={"system": MODEL_SYSTEM, "value": model.name},
            name=model.title,
            model_number=model.id,
            version=model.version,
            digests=registry.digests(model),
            component_system=COMPONENT_SYSTEM,
            types=[coding.ARTIFICIAL_INTELLIGENCE.json()] if model.network else (),
            notes=[model.intended_use],
        )
    )


def _observation(measure: Measure, run: _Run, device_url: str) -> Resource:
    """Give the Observation of one measure."""
    output = next(output for output in run.model.outputs if output.key == measure.key)
    about = (
        f"Made by software and not reviewed by a person. Computed on {run.ran_on} from series "
        f"{run.result.series_uid} ({run.result.instances} instances)."
    )
    notes = [about, *filter(None, (measure.note, *run.result.notes))]
    site = {"coding": [output.body_site.json()]} if output.body_site else None
    return observation.imaging_measure(
        observation.ImagingMeasure(
            identifier=run.identifier(measure.key),
            code={"coding": [code.json() for code in output.codings], "text": output.display},
            value=_value(measure, output),
            method=f"{run.model.id} {run.model.version}: {run.model.method}",
            abnormal=measure.abnormal,
            body_site=site,
            notes=notes,
        ),
        run.context,
        device_url,
        run.now,
    )


def _value(measure: Measure, output: Output) -> dict[str, Any]:
    """Give value[x] in the output's kind and digits, or why there is none."""
    value = measure.value
    if value is None:
        reason = measure.absent or "unknown"
        return observation.absent(reason, _ABSENT[reason])
    match output.kind:
        case "quantity":
            digits = Decimal(1).scaleb(-output.decimals)
            rounded = Decimal(repr(value)).quantize(digits, ROUND_HALF_UP)
            return observation.quantity(rounded, output.unit_text or output.unit, output.unit)
        case "integer":
            return {"valueInteger": int(value)}
        case "boolean":
            return {"valueBoolean": bool(value)}
        case "string":
            return {"valueString": str(value)}


def _conclusion(model: ImagingModel) -> str:
    """Say what the report is, without values: they stand in the results, which a new run renews."""
    kind = "a trained model" if model.network else "a program"
    return (
        f"PRELIMINARY, made by {kind} ({model.title}, {model.id} {model.version}) and not reviewed "
        f"by a person. It is not a diagnosis. {model.intended_use}"
    )


def _provenance(run: _Run, targets: list[str], device_url: str) -> dict[str, Any]:
    """Give the entry of the Provenance: the study, the series' hash, and the model's hashes."""
    result = run.result
    series = {
        "identifier": {"system": DICOM_UID, "value": f"urn:oid:{result.series_uid}"},
        "display": f"DICOM series of {result.instances} instances",
    }
    entities = [run.context.study, series, _hashed(result.input_sha256, "Hash of the series")]
    entities += [
        _hashed(digest, f"Hash of {run.model.name}: {component}")
        for component, digest in registry.digests(run.model).items()
    ]
    resource = provenance.derivation(
        targets, device_url, [provenance.source(entity) for entity in entities], run.now
    )
    resource["id"] = str(_uuid("Provenance", run.identifier("provenance")["value"]))
    return {
        "fullUrl": f"urn:uuid:{resource['id']}",
        "resource": resource,
        "request": {"method": "PUT", "url": f"Provenance/{resource['id']}"},
    }


def _hashed(digest: str, display: str) -> dict[str, Any]:
    """Give a logical reference to content by its SHA-256."""
    return {"identifier": {"system": DIGEST_SYSTEM, "value": digest}, "display": display}


def code_system(models: list[ImagingModel]) -> Resource:
    """Give the CodeSystem of our own measure codes, derived from what the models declare."""
    concepts = {output.key: output.display for model in models for output in model.outputs}
    return {
        "resourceType": "CodeSystem",
        "id": "imaging-measure",
        "url": coding.OWN,
        "name": "ImagingMeasure",
        "title": "Imaging measures",
        "status": "active",
        "caseSensitive": True,
        "content": "complete",
        "concept": [{"code": key, "display": display} for key, display in sorted(concepts.items())],
    }

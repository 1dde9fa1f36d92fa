"""Runs a model on a study's instances: the pure piece that a worker process calls.

`run_model` is for a process of its own, so that a crash or memory that runs out takes no server down.
"""

import math
import time
from collections.abc import Iterable
from pathlib import Path

from ai_observations import registry
from ai_observations.model import ImagingModel, Measured, Output
from ai_observations.result import Measure, Result, Value


def run_model(model_id: str, instances: Iterable[bytes], cache: Path | None = None) -> Result:
    """Run one model on DICOM Part 10 files, with weights from a cache, and give its result.

    Plain and picklable, for a process pool or a worker's own loop. Raises NotFound, NotInstalled or
    Unsuitable, each with a text for a person.
    """
    from ai_observations import volume as volumes  # noqa: PLC0415 - heavy, only when a model runs
    from ai_observations.pixels import picture  # noqa: PLC0415 - heavy, as above

    model = registry.find(model_id)
    weights = registry.locate(model, cache or registry.default_cache())
    volume = volumes.read(instances, model.accepts)
    began = time.perf_counter()
    measured = model(volume, weights)
    seconds = time.perf_counter() - began
    mask = measured.mask
    return Result(
        model_id=model.id,
        model_version=model.version,
        study_uid=volume.header.study_uid,
        series_uid=volume.header.series_uid,
        input_sha256=volume.input_sha256,
        instances=volume.instances,
        measures=measures(model, measured),
        notes=measured.notes,
        mask=mask,
        picture=picture.picture_png(volume),
        overlay=picture.overlay_png(volume, mask.array()) if mask else None,
        device=measured.device,
        seconds=round(seconds, 3),
    )


def measures(model: ImagingModel, measured: Measured) -> tuple[Measure, ...]:
    """Give one Measure an output declared; refuses values under keys that are not declared."""
    unknown = measured.values.keys() - {output.key for output in model.outputs}
    if unknown:
        raise ValueError(f"{model.name} gave outputs that it does not declare: {sorted(unknown)}")
    return tuple(_measure(output, measured) for output in model.outputs)


def _measure(output: Output, measured: Measured) -> Measure:
    value = measured.values.get(output.key)
    if value is None:
        return Measure(output.key, absent=measured.absent.get(output.key, "not-applicable"))
    if isinstance(value, float) and not math.isfinite(value):
        return Measure(output.key, absent="error")
    note = "" if _plausible(output, value) else "Outside the plausible range: check the images."
    return Measure(output.key, value, abnormal=_abnormal(output, value), note=note)


def _plausible(output: Output, value: Value) -> bool:
    if output.plausible is None or not isinstance(value, int | float):
        return True
    return output.plausible[0] <= value <= output.plausible[1]


def _abnormal(output: Output, value: Value) -> bool | None:
    """Judge a value by its output's declaration; None where it declares nothing to judge by."""
    if output.expected is not None:
        return value is not output.expected
    if output.normal is None or not isinstance(value, int | float):
        return None
    return not output.normal[0] <= value <= output.normal[1]

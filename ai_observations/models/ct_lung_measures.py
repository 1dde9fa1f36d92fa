"""ct-lung-measures: lung volumes, LAA-950, attenuation and body area on chest CT, without weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ai_observations import coding
from ai_observations.model import Measured, ModelCard, Output, Selection, imaging_model
from ai_observations.result import Mask

if TYPE_CHECKING:
    from ai_observations.volume import Volume

HOUNSFIELD = "[hnsf'U]"

CARD = ModelCard(
    id="ct-lung-measures",
    version="1.0.0",
    title="Lung measures on chest CT",
    accepts=Selection(
        modality=("CT",),
        body_part=("CHEST", "LUNG", "THORAX", "CHESTABDOMEN", "CHESTABDPELVIS"),
        min_slices=30,
        complete=True,
        min_age=18,
    ),
    intended_use=(
        "Measures of the lungs on a chest CT of an adult that covers both lungs whole, for review "
        "by a radiologist. Not for collapsed or consolidated lungs or large effusions, which the "
        "threshold leaves out."
    ),
    method="Thresholds in HU and connected components",
    algorithm=("ai_observations.pixels.lungs",),
    outputs=(
        Output(
            "lung-volume", "Lung volume", standard=coding.VOLUME, body_site=coding.LUNG,
            unit="cm3", unit_text="cm³", plausible=(1000, 10000),
        ),
        Output(
            "lung-volume-left", "Left lung volume", standard=coding.VOLUME,
            body_site=coding.LEFT_LUNG, unit="cm3", unit_text="cm³", plausible=(300, 5000),
        ),
        Output(
            "lung-volume-right", "Right lung volume", standard=coding.VOLUME,
            body_site=coding.RIGHT_LUNG, unit="cm3", unit_text="cm³", plausible=(300, 5500),
        ),
        Output(
            "lung-laa-950", "Low attenuation area below -950 HU, share of lung volume",
            body_site=coding.LUNG, unit="%", unit_text="%", decimals=1,
        ),
        Output(
            "lung-attenuation-mean", "Mean lung attenuation", body_site=coding.LUNG,
            unit=HOUNSFIELD, unit_text="HU", plausible=(-950, -500),
        ),
        Output(
            "lung-attenuation-sd", "Standard deviation of lung attenuation",
            body_site=coding.LUNG, unit=HOUNSFIELD, unit_text="HU",
        ),
        Output(
            "lung-attenuation-p15", "15th percentile of lung attenuation",
            body_site=coding.LUNG, unit=HOUNSFIELD, unit_text="HU",
        ),
        Output(
            "body-area", "Cross-sectional area of the body at the largest lung section",
            standard=coding.AREA, body_site=coding.CHEST, unit="cm2", unit_text="cm²",
            plausible=(200, 2000),
        ),
    ),
)  # fmt: skip


@imaging_model(CARD)
def ct_lung_measures(volume: "Volume", weights: Mapping[str, Path]) -> Measured:  # noqa: ARG001
    """Segment the lungs and measure them; the mask labels right 1 and left 2."""
    import numpy as np  # noqa: PLC0415 - heavy, only when the model runs

    from ai_observations.pixels import anatomical, lungs  # noqa: PLC0415 - heavy, as above

    turn = anatomical.turn(volume)
    hu = turn.there(volume.values)
    spacing = turn.spacing(volume.spacing)
    found = lungs.segment(hu, spacing)
    inside = hu[found.mask & ~turn.there(volume.padding)]
    largest = int(found.mask.sum(axis=(1, 2)).argmax())
    total, left = (int(np.count_nonzero(mask)) for mask in (found.mask, found.left))
    labels = found.mask.astype(np.uint8) + found.left
    return Measured(
        values={
            "lung-volume": total * volume.voxel_ml,
            "lung-volume-left": left * volume.voxel_ml,
            "lung-volume-right": (total - left) * volume.voxel_ml,
            "lung-laa-950": 100 * float(np.mean(inside < lungs.EMPHYSEMA_HU)),
            "lung-attenuation-mean": float(np.mean(inside, dtype=np.float64)),
            "lung-attenuation-sd": float(np.std(inside, dtype=np.float64)),
            "lung-attenuation-p15": float(np.percentile(inside, 15)),
            "body-area": lungs.body_area_cm2(hu, largest, spacing),
        },
        mask=Mask.of(turn.back(labels), {1: "Right lung", 2: "Left lung"}),
    )

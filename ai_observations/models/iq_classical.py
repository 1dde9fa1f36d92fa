"""iq-classical: technical image quality of CT, MR, CR and DX from geometry and pixels, without weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ai_observations.model import Measured, ModelCard, Output, Selection, imaging_model
from ai_observations.result import AbsentReason, Value

if TYPE_CHECKING:
    from ai_observations.pixels.quality import Sample
    from ai_observations.volume import Volume

RADIOGRAPHS = ("CR", "DX")
PAIRED = frozenset(("BREAST", "HAND", "FOOT", "KNEE", "HIP", "SHOULDER", "ELBOW", "WRIST", "ANKLE"))
GEOMETRY = ("iq-missing-slices", "iq-duplicate-slices", "iq-evenly-spaced", "iq-spacing-deviation")

CARD = ModelCard(
    id="iq-classical",
    version="1.0.0",
    title="Technical image quality",
    accepts=Selection(modality=("CT", "MR", *RADIOGRAPHS)),
    intended_use=(
        "Technical quality of a series, to find what needs a second look before it is read or "
        "measured. It does not say whether an examination answers its clinical question."
    ),
    method="Deterministic measures of geometry and pixels",
    algorithm=("ai_observations.pixels.quality",),
    outputs=(
        Output("iq-slices", "Number of images in the series", "integer"),
        Output("iq-plane", "Plane of the images", "string"),
        Output("iq-missing-slices", "Number of missing slices", "integer", normal=(0, 0)),
        Output("iq-duplicate-slices", "Number of duplicate slices", "integer", normal=(0, 0)),
        Output("iq-evenly-spaced", "Slices are evenly spaced", "boolean", expected=True),
        Output(
            "iq-spacing-deviation", "Largest deviation from the usual slice spacing",
            unit="mm", unit_text="mm", decimals=2,
        ),
        Output("iq-pixel-spacing-stated", "Pixel spacing is stated", "boolean", expected=True),
        Output("iq-photometric-valid", "Photometric interpretation fits", "boolean", expected=True),
        Output("iq-view-stated", "View, and side where paired, are stated", "boolean", expected=True),
        Output(
            "iq-saturation", "Saturated share of the image", unit="%", unit_text="%",
            decimals=2, normal=(0, 1),
        ),
        Output("iq-grey-levels", "Dynamic range in use", unit="bit", unit_text="bit", decimals=1),
        Output("iq-noise-hu", "Noise level", unit="[hnsf'U]", unit_text="HU", decimals=1),
        Output(
            "iq-noise-share", "Noise level as a share of the intensity range",
            unit="%", unit_text="%", decimals=2,
        ),
        Output("iq-snr", "Signal-to-noise ratio", unit="1", decimals=1),
        Output("iq-sharpness", "Edge gradient per pixel over the intensity range", unit="1", decimals=3),
        Output(
            "iq-border", "Share of the image behind the collimator or repeated at its edges",
            unit="%", unit_text="%", decimals=1, normal=(0, 40),
        ),
    ),
)  # fmt: skip


@imaging_model(CARD)
def iq_classical(volume: "Volume", weights: Mapping[str, Path]) -> Measured:  # noqa: ARG001
    """Measure the quality of one series; what its kind of image cannot have is not applicable."""
    from ai_observations.pixels import quality  # noqa: PLC0415 - heavy, only when the model runs

    taken = quality.sample(volume)
    radiograph = volume.header.modality in RADIOGRAPHS
    values, absent = _of_noise(volume, taken)
    values |= _of_geometry(volume) | {
        "iq-saturation": quality.saturation_percent(taken, both_ends=radiograph),
        "iq-grey-levels": quality.grey_level_bits(taken),
        "iq-sharpness": quality.sharpness(taken),
        "iq-photometric-valid": _photometric_fits(volume),
    }
    if radiograph:
        values |= {
            "iq-view-stated": _view_stated(volume),
            "iq-border": quality.border_percent(taken),
        }
        values = {key: value for key, value in values.items() if key not in GEOMETRY}
    return Measured(values=values, absent=absent)


def _of_geometry(volume: "Volume") -> dict[str, Value]:
    """Give what the places of the slices say; a lone slice has no spacing to judge."""
    found = volume.geometry
    values: dict[str, Value] = {
        "iq-slices": volume.values.shape[0],
        "iq-plane": "projection" if volume.header.modality in RADIOGRAPHS else found.plane,
        "iq-pixel-spacing-stated": min(found.spacing[1:]) > 0,
    }
    if found.located:
        values |= {
            "iq-missing-slices": found.missing,
            "iq-duplicate-slices": found.duplicates,
            "iq-evenly-spaced": not found.uneven,
            "iq-spacing-deviation": found.deviation_mm,
        }
    return values


def _of_noise(
    volume: "Volume", taken: "Sample"
) -> tuple[dict[str, Value], dict[str, AbsentReason]]:
    """Give noise and signal-to-noise ratio; unknown where no part of the image is fit to judge by."""
    from ai_observations.pixels import quality  # noqa: PLC0415 - heavy, only when the model runs

    found = quality.noise_and_signal(taken, volume.header.modality)
    hu = volume.header.modality == "CT"
    if found is None:
        keys = ("iq-noise-share", "iq-snr", *(("iq-noise-hu",) if hu else ()))
        return {}, dict.fromkeys(keys, "unknown")
    noise, signal = found
    values: dict[str, Value] = {"iq-noise-share": 100 * noise / taken.range}
    if noise > 0:
        values["iq-snr"] = signal / noise
    if hu:
        values["iq-noise-hu"] = noise
    return values, {}


def _photometric_fits(volume: "Volume") -> bool:
    """Tell whether the photometric interpretation is one that the modality's images may have."""
    allowed = {"MONOCHROME1", "MONOCHROME2"}
    if volume.header.modality == "CT":
        allowed = {"MONOCHROME2"}
    return volume.header.photometric in allowed


def _view_stated(volume: "Volume") -> bool:
    """Tell whether a radiograph states its view, and its side where the body part is paired."""
    header = volume.header
    sided = header.body_part.upper() in PAIRED
    return bool(header.view) and (bool(header.laterality) or not sided)

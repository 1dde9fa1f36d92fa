"""The reference for the lungs: the label mask that ships with the chest CT (docs/data.md)."""

from pathlib import Path

import numpy as np

from fhir_server.demo import images, nifti

LUNG_LOBES = (10, 11, 12, 13, 14)
"""The labels of the five lobes in TotalSegmentator's numbering."""


def lung_volume_cm3(cache: Path) -> float:
    """Give the volume of both lungs in the mask, in cm³; raises ImageMissing where it was not fetched."""
    path = images.folder(cache) / images.CHEST_CT_LABELS
    if not path.is_file():
        raise images.ImageMissing(
            f"{path} is missing: `make install` or scripts/fetch_images.py gets it"
        )
    mask = nifti.read(path)
    voxel_mm3 = abs(float(np.linalg.det(mask.affine[:3, :3])))
    voxels = int(np.count_nonzero(np.isin(mask.values, LUNG_LOBES)))
    return voxels * voxel_mm3 / 1000

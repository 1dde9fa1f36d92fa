"""Real images as DICOM from the cache, and small made-up slices for the edges of geometry."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ai_observations import registry
from fhir_server.demo import images

HOW = "run `make install`, or scripts/fetch_images.py and scripts/fetch_models.py, then try again"
STUDY = {
    "resourceType": "ImagingStudy",
    "id": "study-1",
    "status": "available",
    "subject": {"reference": "Patient/patient-1"},
    "basedOn": [{"reference": "ServiceRequest/order-1"}],
    "started": "2026-11-21T09:00:00.000Z",
}


@pytest.fixture(scope="session")
def cache() -> Path:
    """The cache that set-up fills; fails, telling how to fill it, where a file is not there."""
    folder = registry.default_cache()
    needed = [images.CHEST_CT, images.CHEST_CT_LABELS, images.RADIOGRAPH]
    missing = [name for name in needed if not (images.folder(folder) / name).is_file()]
    try:
        images.brain_source(folder)
    except images.ImageMissing as fault:
        missing.append(str(fault))
    for model in registry.discover().values():
        missing += [w.name for w in model.weights if not registry.weights_path(w, folder).is_file()]
    if missing:
        pytest.fail(f"not fetched: {', '.join(missing)}; {HOW}")
    return folder


@pytest.fixture(scope="session")
def identity() -> images.StudyIdentity:
    """A made-up patient and order."""
    return images.StudyIdentity(
        patient_id="P-1",
        patient_issuer="HOSPITAL",
        name="Example^Ada",
        birth_date="19700131",
        sex="F",
        accession="ACC-1",
        accession_issuer="RIS",
        started=datetime(2026, 11, 21, 9, tzinfo=UTC),
    )


def written(make, cache, identity, folder) -> list[bytes]:
    return [path.read_bytes() for path in make(cache, folder, identity, "test")]


@pytest.fixture(scope="session")
def chest_ct(cache, identity, tmp_path_factory) -> list[bytes]:
    return written(images.chest_ct, cache, identity, tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="session")
def brain_t1(cache, identity, tmp_path_factory) -> list[bytes]:
    return written(images.brain_t1, cache, identity, tmp_path_factory.mktemp("mr"))


@pytest.fixture(scope="session")
def radiograph(cache, identity, tmp_path_factory) -> list[bytes]:
    return written(images.chest_radiograph, cache, identity, tmp_path_factory.mktemp("cr"))


@pytest.fixture(scope="session")
def study() -> dict:
    """A stored ImagingStudy with an order and a patient."""
    return STUDY


def part10(dataset: Dataset) -> bytes:
    """Give a dataset as the bytes of a DICOM file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def made_slice(number: int, **changes: object) -> Dataset:
    """Give a CT slice of 8 x 6 pixels, 2 mm from the one before; None takes an element away."""
    dataset = Dataset()
    elements: dict[str, object] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"2.25.1{number}",
        "StudyInstanceUID": "2.25.2",
        "SeriesInstanceUID": "2.25.3",
        "SeriesNumber": 1,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "InstanceNumber": number,
        "ImagePositionPatient": [-3, -4, 2 * number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 2,
        "RescaleSlope": 2,
        "RescaleIntercept": -1000,
        "Rows": 8,
        "Columns": 6,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": np.full((8, 6), number, np.uint16).tobytes(),
    }
    for keyword, value in (elements | changes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


@pytest.fixture(scope="session")
def slice_() -> Callable[..., Dataset]:
    """Makes a small CT slice: `slice_(number, Keyword=value)`."""
    return made_slice


@pytest.fixture(scope="session")
def file() -> Callable[[Dataset], bytes]:
    """Makes a DICOM file of a dataset."""
    return part10

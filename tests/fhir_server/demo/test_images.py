"""The demo's DICOM: valid, right in its geometry, the same each time, nobody's identity in it."""

import io
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest
from highdicom import _standard_utils as standard

from ai_observations import registry
from fhir_server.demo import images, nifti

SEED = "a seed"
IDENTITY = images.StudyIdentity(
    patient_id="P-7",
    patient_issuer="HOSPITAL",
    name="Näf^Zoë",
    birth_date="19650704",
    sex="F",
    accession="ACC-7",
    accession_issuer="RIS",
    started=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
)
MAKERS = (images.chest_ct, images.brain_t1, images.chest_radiograph)


@pytest.fixture(scope="module")
def cache():
    return registry.default_cache()


@pytest.fixture(scope="module")
def studies(cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("studies")
    return {m.__name__: m(cache, out / m.__name__, IDENTITY, SEED) for m in MAKERS}


@pytest.mark.parametrize(("maker", "files"), [("chest_ct", 133), ("chest_radiograph", 1)])
def test_each_study_has_its_files(studies, maker, files):
    assert len(studies[maker]) == files


def lacking(dataset):
    """The mandatory modules of a dataset's IOD that lack a required attribute."""
    iod = standard.get_sop_class_iod_map()[dataset.SOPClassUID]
    found = []
    for module in standard.get_iod_module_map()[iod]:
        try:
            if module["usage"] == "M":
                standard.check_required_attributes(dataset, module["key"])
        except AttributeError:
            found.append(module["key"])
    return found


@pytest.mark.parametrize("maker", [m.__name__ for m in MAKERS])
def test_every_mandatory_module_has_its_required_attributes(studies, maker):
    for path in (studies[maker][0], studies[maker][-1]):
        dataset = pydicom.dcmread(path)
        assert lacking(dataset) == []
        del dataset.SeriesInstanceUID
        assert lacking(dataset) == ["general-series"]


@pytest.mark.parametrize("maker", [m.__name__ for m in MAKERS])
def test_the_identity_is_the_given_one_and_the_uids_are_ours(studies, maker):
    dataset = pydicom.dcmread(studies[maker][0])
    assert dataset.PatientID == "P-7"
    assert dataset.IssuerOfPatientID == "HOSPITAL"
    assert str(dataset.PatientName) == "Näf^Zoë"
    assert dataset.PatientAge == "061Y"
    assert dataset.AccessionNumber == "ACC-7"
    issuer = dataset.IssuerOfAccessionNumberSequence[0]
    assert issuer.LocalNamespaceEntityID == "RIS"
    assert (dataset.StudyDate, dataset.StudyTime) == ("20261121", "093000")
    assert dataset.TimezoneOffsetFromUTC == "+0000"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert dataset[keyword].value.startswith("2.25.")
        assert len(dataset[keyword].value) <= 64


def test_nothing_of_the_radiographs_first_patient_is_left(studies):
    data = studies["chest_radiograph"][0].read_bytes()
    for trace in (b"CompressedSamples", b"9RG1", b"26210", b"Philips", b"Hamburg", b"19400305",
                  b"1995", b"1.3.6.1.4.1.5962", b"THORAVISION", b"UKE_pa"):  # fmt: skip
        assert trace not in data


def test_a_series_is_one_series_of_unlike_instances(studies):
    datasets = [pydicom.dcmread(p, stop_before_pixels=True) for p in studies["chest_ct"]]
    assert len({d.SOPInstanceUID for d in datasets}) == 133
    assert (
        len({(d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID) for d in datasets})
        == 1
    )


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_uids(cache, studies, tmp_path):
    (again,) = images.chest_radiograph(cache, tmp_path / "again", IDENTITY, SEED)
    (other,) = images.chest_radiograph(cache, tmp_path / "other", IDENTITY, "another")
    assert again.read_bytes() == studies["chest_radiograph"][0].read_bytes()
    assert pydicom.dcmread(other).StudyInstanceUID != pydicom.dcmread(again).StudyInstanceUID


def test_a_voxel_of_the_ct_lies_where_the_source_says_with_its_value(cache, studies):
    source = nifti.read(images.folder(cache) / images.CHEST_CT)
    i, j, k = 130, 300, 80
    right, front, up = (source.affine @ [i, j, k, 1])[:3]
    dataset = pydicom.dcmread(studies["chest_ct"][k])
    x, y, z = dataset.ImagePositionPatient
    column, row = (-right - x) / dataset.PixelSpacing[1], (-front - y) / dataset.PixelSpacing[0]
    assert z == up
    assert column == pytest.approx(round(column), abs=1e-4)
    stored = dataset.pixel_array[round(row), round(column)]
    value = stored * dataset.RescaleSlope + dataset.RescaleIntercept
    assert value == source.values[i, j, k] * source.slope + source.intercept


def test_padding_of_the_ct_is_declared(studies):
    dataset = pydicom.dcmread(studies["chest_ct"][66])
    assert dataset.pixel_array[0, 0] == dataset.PixelPaddingValue
    assert dataset.PixelPaddingValue * dataset.RescaleSlope + dataset.RescaleIntercept == -2048


def test_the_radiograph_keeps_its_pixels_and_its_pixel_spacing_of_zero(cache, studies):
    dataset = pydicom.dcmread(studies["chest_radiograph"][0])
    source = pydicom.dcmread(images.folder(cache) / images.RADIOGRAPH)
    assert np.array_equal(dataset.pixel_array, source.pixel_array)
    assert list(dataset.PixelSpacing) == [0, 0]


def test_a_missing_source_says_how_to_get_it(tmp_path):
    with pytest.raises(images.ImageMissing, match="make install"):
        images.chest_ct(tmp_path, tmp_path, IDENTITY, SEED)


def test_mni152_is_taken_where_colin27_is_not(cache, tmp_path):
    source = nifti.read(images.brain_source(cache))
    small = source.values[60:64, 60:66, 60:63]
    path = images.folder(tmp_path) / images.MNI152
    path.parent.mkdir(parents=True)
    path.write_bytes(written(small, np.diag((1.0, 1.0, 1.0, 1.0))))
    files = images.brain_t1(tmp_path, tmp_path / "out", IDENTITY, SEED)
    dataset = pydicom.dcmread(files[0])
    assert len(files) == 3
    assert np.array_equal(dataset.pixel_array, small[::-1, ::-1, 0].T)
    assert "mni152" in dataset.DerivationDescription


def written(values, affine):
    import nibabel

    return nibabel.Nifti1Image(np.ascontiguousarray(values), affine).to_bytes()


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_nifti_is_read_as_nibabel_reads_it(tmp_path, dtype):
    import gzip

    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    affine = np.array([[-2.0, 0, 0, 5], [0, 3, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(written(values, affine)))
    image = nifti.read(path)
    assert np.array_equal(image.values, values)
    assert np.array_equal(image.affine, affine)
    assert (image.slope, image.intercept) == (1, 0)


@pytest.mark.parametrize("data", [b"", b"no image at all" * 40, io.BytesIO().getvalue()])
def test_what_is_no_nifti_is_refused(tmp_path, data):
    (tmp_path / "x.nii").write_bytes(data)
    with pytest.raises(nifti.NotNifti):
        nifti.read(tmp_path / "x.nii")

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ai_observations import volume
from ai_observations.model import Selection, Unsuitable

ANY = Selection(modality=("CT",))


@pytest.fixture
def read(file):
    return lambda slices, selection=ANY: volume.read([file(s) for s in slices], selection)


def test_the_largest_accepted_series_is_read(read, slice_):
    small = [slice_(n, SeriesInstanceUID="2.25.8") for n in range(10, 12)]
    large = [slice_(n, SeriesInstanceUID="2.25.9") for n in range(20, 24)]
    other = [slice_(n, SeriesInstanceUID="2.25.7", Modality="PT") for n in range(30, 39)]
    found = read([*small, *large, *other])
    assert found.header.series_uid == "2.25.9"
    assert found.instances == 4


def test_localizers_colours_and_other_modalities_are_refused_by_name(read, slice_):
    with pytest.raises(Unsuitable, match="localizer"):
        read([slice_(1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])])
    with pytest.raises(Unsuitable, match="modality is not CT"):
        read([slice_(1, Modality="MR")])
    with pytest.raises(Unsuitable, match="no instances"):
        read([])


def test_what_is_no_dicom_image_is_refused_and_not_a_crash(slice_, file):
    with pytest.raises(Unsuitable, match="not a DICOM image"):
        volume.read([b"not DICOM", b"", file(slice_(1, PixelData=None))], ANY)


def test_truncated_pixels_are_refused_without_a_value_in_the_text(read, slice_):
    with pytest.raises(Unsuitable, match="cannot be decoded"):
        read([slice_(1, PixelData=b"\1\2")])


def test_a_child_is_refused_by_a_model_for_adults_and_an_unknown_age_is_not(read, slice_):
    adults = Selection(modality=("CT",), min_age=18)
    with pytest.raises(Unsuitable, match="younger than 18"):
        read([slice_(1, PatientAge="011M")], adults)
    assert read([slice_(1, PatientAge="018Y")], adults).header.age_years == 18
    assert read([slice_(1)], adults).header.age_years is None


def test_padding_is_marked_by_value_or_range(read, slice_):
    pixels = np.arange(48, dtype=np.uint16).reshape(8, 6)
    one = slice_(1, PixelData=pixels.tobytes(), PixelPaddingValue=5)
    assert read([one]).padding.sum() == 1
    several = slice_(1, PixelData=pixels.tobytes(), PixelPaddingValue=5, PixelPaddingRangeLimit=2)
    assert read([several]).padding.sum() == 4


def test_the_digest_tells_the_series_and_not_the_order_it_came_in(read, slice_):
    stack = [slice_(n) for n in range(3)]
    assert read(stack).input_sha256 == read(stack[::-1]).input_sha256
    changed = [*stack[:2], slice_(2, PixelData=b"\0" * 96)]
    assert read(stack).input_sha256 != read(changed).input_sha256


def test_an_enhanced_multi_frame_image_is_read_frame_by_frame(read, slice_):
    def item(**elements):
        dataset = Dataset()
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        return dataset

    groups = [
        item(PlanePositionSequence=Sequence([item(ImagePositionPatient=[0, 0, z])]))
        for z in (5.0, 2.5, 0.0)
    ]
    shared = item(
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.5, 0.5], SliceThickness=2.5)]),
        PixelValueTransformationSequence=Sequence(
            [item(RescaleSlope=1, RescaleIntercept=-100, RescaleType="HU")]
        ),
    )
    pixels = np.stack([np.full((8, 6), n, np.uint16) for n in range(3)])
    flat = dict.fromkeys(
        ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
         "RescaleIntercept")
    )  # fmt: skip
    enhanced = slice_(
        1,
        **flat,
        NumberOfFrames=3,
        PixelData=pixels.tobytes(),
        PerFrameFunctionalGroupsSequence=Sequence(groups),
        SharedFunctionalGroupsSequence=Sequence([shared]),
    )
    found = read([enhanced])
    assert found.values[:, 0, 0].tolist() == [-98, -99, -100]
    assert found.spacing == (2.5, 0.5, 0.5)
    assert found.instances == 1

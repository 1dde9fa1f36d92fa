import pytest

from ai_observations import volume
from ai_observations.model import Selection, Unsuitable

ANY = Selection(modality=("CT",))
COMPLETE = Selection(modality=("CT",), complete=True)


@pytest.fixture
def read(file):
    return lambda slices, selection=ANY: volume.read([file(s) for s in slices], selection)


def test_slices_are_sorted_by_place_whatever_their_order_or_number(read, slice_):
    shuffled = [slice_(n, InstanceNumber=99 - n) for n in (3, 0, 4, 1, 2)]
    found = read(shuffled)
    assert found.values[:, 0, 0].tolist() == [-1000, -998, -996, -994, -992]
    assert found.geometry.plane == "axial"
    assert found.spacing == (2.0, 0.5, 0.75)


def test_the_affine_takes_indexes_to_patient_coordinates(read, slice_):
    found = read([slice_(n) for n in range(4)])
    assert (found.affine @ [0, 0, 0, 1]).tolist() == [-3, -4, 0, 1]
    assert (found.affine @ [3, 2, 1, 1]).tolist() == [-3 + 0.75, -4 + 2 * 0.5, 6, 1]


def test_missing_slices_are_counted_and_refused_where_a_model_measures(read, slice_):
    gaps = [slice_(n) for n in (0, 1, 4, 5, 6, 8)]
    assert read(gaps).geometry.missing == 3
    assert not read(gaps).geometry.uneven
    with pytest.raises(Unsuitable, match="3 slices of the series are missing"):
        read(gaps, COMPLETE)


def test_a_second_slice_at_one_place_is_a_duplicate_and_used_once(read, slice_):
    twice = [slice_(0), slice_(1), slice_(1, SOPInstanceUID="2.25.77"), slice_(2)]
    found = read(twice, COMPLETE)
    assert found.geometry.duplicates == 1
    assert found.values.shape[0] == 3
    assert found.instances == 4


def test_uneven_slices_are_told_and_refused_where_a_model_measures(read, slice_):
    heights = (0, 2, 4, 6.6, 8, 10)
    uneven = [slice_(n, ImagePositionPatient=[-3, -4, z]) for n, z in enumerate(heights)]
    found = read(uneven).geometry
    assert found.uneven
    assert found.deviation_mm == pytest.approx(0.6)
    with pytest.raises(Unsuitable, match="unevenly"):
        read(uneven, COMPLETE)


@pytest.mark.parametrize("spacing", [None, [0, 0]])
def test_pixel_spacing_that_is_zero_or_absent_is_never_measured_with(read, slice_, spacing):
    blind = [slice_(n, PixelSpacing=spacing) for n in range(3)]
    assert read(blind).spacing[1:] == (0, 0)
    with pytest.raises(Unsuitable, match="pixel spacing"):
        read(blind, COMPLETE)


def test_slices_without_places_are_ordered_by_number_and_not_measured(read, slice_):
    blind = [slice_(n, ImagePositionPatient=None) for n in (2, 0, 1)]
    found = read(blind)
    assert not found.geometry.located
    assert found.values[:, 0, 0].tolist() == [-1000, -998, -996]
    with pytest.raises(Unsuitable, match="slice positions"):
        read(blind, COMPLETE)


def test_a_slice_of_another_orientation_or_shape_is_left_out(read, slice_):
    stack = [slice_(n) for n in range(5)]
    reformat = slice_(9, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    found = read([*stack, reformat])
    assert found.geometry.dropped == 1
    assert found.values.shape == (5, 8, 6)


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        ([1, 0, 0, 0, 1, 0], "axial"),
        ([1, 0, 0, 0, 0, -1], "coronal"),
        ([0, 1, 0, 0, 0, -1], "sagittal"),
        ([0.8, 0.6, 0, 0, 0, -1], "oblique"),
    ],
)
def test_the_plane_is_named_by_the_normal(read, slice_, orientation, plane):
    heights = range(3)
    stack = [
        slice_(n, ImageOrientationPatient=orientation, ImagePositionPatient=[n, n, n])
        for n in heights
    ]
    assert read(stack).geometry.plane == plane


def test_a_lone_slice_takes_its_thickness_and_has_no_gaps(read, slice_):
    found = read([slice_(1)])
    assert found.spacing == (2.0, 0.5, 0.75)
    assert (found.geometry.missing, found.geometry.duplicates) == (0, 0)

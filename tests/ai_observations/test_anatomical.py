import numpy as np
import pytest

from ai_observations import volume
from ai_observations.model import Selection
from ai_observations.pixels import anatomical


@pytest.fixture
def read(file, slice_):
    def made(orientation, step):
        stack = [
            slice_(n, ImageOrientationPatient=orientation, ImagePositionPatient=list(np.multiply(step, n)))
            for n in range(4)
        ]  # fmt: skip
        return volume.read([file(s) for s in stack], Selection(modality=("CT",)))

    return made


@pytest.mark.parametrize(
    ("orientation", "step"),
    [
        ([1, 0, 0, 0, 1, 0], [0, 0, 2]),
        ([-1, 0, 0, 0, -1, 0], [0, 0, 2]),
        ([1, 0, 0, 0, 0, -1], [0, 2, 0]),
        ([0, 1, 0, 0, 0, -1], [-2, 0, 0]),
    ],
)
def test_any_plane_is_turned_to_head_back_left_and_back_again(read, orientation, step):
    found = read(orientation, step)
    turn = anatomical.turn(found)
    indexes = np.stack(np.indices(found.values.shape), axis=-1)
    coordinates = indexes @ found.affine[:3, :3].T
    for axis, direction in ((0, 2), (1, 1), (2, 0)):
        along = turn.there(coordinates[..., direction])
        steps = np.diff(along, axis=axis)
        assert np.all(steps > 0)
        assert turn.spacing(found.spacing)[axis] == pytest.approx(steps.flat[0])
    assert np.array_equal(turn.back(turn.there(found.values)), found.values)

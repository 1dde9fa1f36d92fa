"""What one run of a model over one series gives; serialisable, so that it crosses processes."""

import zlib
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Value = float | int | bool | str
AbsentReason = Literal["unknown", "not-applicable", "not-performed", "error"]


class Measure(Struct, frozen=True):
    """One declared output's value in its declared unit, or why there is none.

    `absent` is a code of the FHIR data-absent-reason code system; `abnormal` is None where the
    output declares no range to judge by.
    """

    key: str
    value: Value | None = None
    absent: AbsentReason | None = None
    abnormal: bool | None = None
    note: str = ""


class Mask(Struct, frozen=True):
    """A label per voxel (uint8) in the order of the series' sorted volume, and what labels mean."""

    shape: tuple[int, int, int]
    packed: bytes
    meanings: dict[int, str]

    @classmethod
    def of(cls, labels: "npt.NDArray[np.uint8]", meanings: dict[int, str]) -> "Mask":
        """Pack a (slice, row, column) array of labels; 0 is always background."""
        slices, rows, columns = labels.shape
        return cls((slices, rows, columns), zlib.compress(labels.tobytes(), 1), meanings)

    def array(self) -> "npt.NDArray[np.uint8]":
        """Give the labels as a (slice, row, column) array."""
        import numpy as np  # noqa: PLC0415 - heavy, and only in a process that works on pixels

        return np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(self.shape)


class Result(Struct, frozen=True):
    """A model's answer about one series: every declared output, in the order declared.

    `input_sha256` is over the instances that were read (see `volume.digest`), `device` is what it
    ran on ("cpu" or a GPU's name), `picture` and `overlay` are PNG files without identity.
    """

    model_id: str
    model_version: str
    study_uid: str
    series_uid: str
    input_sha256: str
    instances: int
    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()
    mask: Mask | None = None
    picture: bytes = b""
    overlay: bytes | None = None
    device: str = "cpu"
    seconds: float = 0.0

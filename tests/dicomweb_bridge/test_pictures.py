"""Pictures and frames of /dicom-web: windowed, fitted, as stored or decoded (PS3.18 8.3.5, 10.4)."""

import io

import dicomweb
import numpy as np
import pydicom
import pytest
from dicomweb import ct, dataset, encoded
from PIL import Image
from pydicom.uid import ExplicitVRBigEndian, RLELossless
from stow import PLACE, contents, send


def picture(http, path=PLACE, **params):
    answer = http.get(f"{path}/rendered", params=params, headers={"Accept": "image/png"})
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)


def test_a_picture_is_windowed_by_the_modalitys_units(http):
    send(http, ct())
    stored = np.arange(192).reshape(16, 12) * 10 + 1 - 1024
    grey = picture(http, window="-500,1000,linear")
    expected = np.clip((stored - (-500 - 0.5)) / 999 + 0.5, 0, 1) * 255
    assert np.abs(grey - expected).max() <= 1
    sigmoid = picture(http, window="-500,1000,sigmoid")
    assert np.abs(sigmoid - 255 / (1 + np.exp(-4 * (stored + 500) / 1000))).max() <= 1


def test_a_picture_takes_the_instances_own_window_and_photometric_sense(http):
    files = [
        ct(study=90, number=1, WindowCenter="-500", WindowWidth="1000"),
        ct(study=90, number=2, WindowCenter=["-500", "0"], WindowWidth=["1000", "1"]),
        ct(
            study=90,
            number=3,
            WindowCenter="-500",
            WindowWidth="1000",
            PhotometricInterpretation="MONOCHROME1",
        ),
    ]
    send(http, *files)
    places = [
        f"/studies/{dicomweb.ROOT}.90/series/{dicomweb.ROOT}.90.1/instances/{dicomweb.ROOT}.90.1.{n}"
        for n in (1, 2, 3)
    ]
    first, second, third = (picture(http, place) for place in places)
    assert np.abs(first - second).max() <= 1
    assert np.abs(first + third - 255).max() <= 3


def test_a_picture_fits_its_viewport_and_is_jpeg_by_default(http):
    send(http, ct())
    answer = http.get(f"{PLACE}/rendered", params={"viewport": "6,100", "quality": "50"})
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (6, 8)


@pytest.mark.parametrize(
    "params",
    [
        {"window": "1"},
        {"window": "1,0"},
        {"window": "nan,x"},
        {"viewport": "0,5"},
        {"quality": "x"},
    ],
)
def test_a_view_that_makes_no_sense_is_a_bad_request(http, params):
    assert http.get(f"{PLACE}/rendered", params=params).status_code == 400


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("examples_palette.dcm", (350, 800, 3)),
        ("examples_ybr_color.dcm", (240, 320, 3)),
        ("examples_rgb_color.dcm", (240, 320, 3)),
        ("examples_jpeg2k.dcm", (480, 640, 3)),
        ("MR_small_RLE.dcm", (64, 64)),
        ("MR_small_bigendian.dcm", (64, 64)),
        ("SC_rgb_jpeg_dcmtk.dcm", (100, 100, 3)),
        ("image_dfl.dcm", (512, 512)),
        ("rtdose.dcm", (10, 10)),
        ("liver_1frame.dcm", (512, 512)),
    ],
)
def test_real_pictures_of_many_kinds_are_drawn(http, name, shape):
    made = pydicom.dcmread(io.BytesIO(dicomweb.bundled(name)), stop_before_pixels=True)
    study = f"{made.StudyInstanceUID}"
    path = f"/studies/{study}/series/{made.SeriesInstanceUID}/instances/{made.SOPInstanceUID}"
    send(http, dicomweb.bundled(name))
    assert picture(http, path).shape == shape
    assert len(np.unique(picture(http, path))) > 1


def test_what_has_no_pixels_has_no_picture(http):
    send(http, dicomweb.bundled("test-SR.dcm"))
    made = pydicom.dcmread(io.BytesIO(dicomweb.bundled("test-SR.dcm")))
    path = f"/studies/{made.StudyInstanceUID}/series/{made.SeriesInstanceUID}/instances/{made.SOPInstanceUID}"
    assert http.get(f"{path}/rendered").status_code == 404


def test_frames_are_given_as_stored_or_decoded(http):
    frames = np.arange(3 * 16 * 12, dtype="<u2").reshape(3, 16, 12)
    plain = dataset(study=91, NumberOfFrames=3, PixelData=frames.tobytes(), PixelRepresentation=0)
    packed = pydicom.dcmread(io.BytesIO(encoded(plain)))
    packed.SOPInstanceUID = packed.file_meta.MediaStorageSOPInstanceUID = (
        f"{plain.SOPInstanceUID}.2"
    )
    packed.compress(RLELossless, generate_instance_uid=False)
    target = io.BytesIO()
    pydicom.dcmwrite(target, packed)
    big = dataset(study=91, number=3, NumberOfFrames=3, PixelRepresentation=0)
    big.PixelData = frames.byteswap().tobytes()
    send(http, encoded(plain), target.getvalue(), encoded(big, ExplicitVRBigEndian))
    base = f"/studies/{plain.StudyInstanceUID}/series/{plain.SeriesInstanceUID}/instances/"
    octets = {"Accept": 'multipart/related; type="application/octet-stream"'}
    for uid in (plain.SOPInstanceUID, packed.SOPInstanceUID, big.SOPInstanceUID):
        answer = http.get(f"{base}{uid}/frames/3,1", headers=octets)
        assert contents(answer) == [frames[2].tobytes(), frames[0].tobytes()]
        assert http.get(f"{base}{uid}/frames/4", headers=octets).status_code == 404
    stored = http.get(f"{base}{packed.SOPInstanceUID}/frames/2")
    assert 'type="image/dicom-rle"' in stored.headers["content-type"]
    assert contents(stored) == [
        list(pydicom.encaps.generate_frames(packed.PixelData, number_of_frames=3))[1]
    ]
    single = http.get(
        f"{base}{plain.SOPInstanceUID}/frames/2", headers={"Accept": "application/octet-stream"}
    )
    assert single.content == frames[1].tobytes()
    assert http.get(f"{base}{plain.SOPInstanceUID}/frames/0").status_code == 404
    assert http.get(f"{base}{plain.SOPInstanceUID}/frames/a").status_code == 400


def test_frames_of_single_bits_are_cut_where_they_begin(http):
    bits = (np.arange(3 * 5 * 5) % 3 == 0).astype("uint8").reshape(3, 25)
    made = dataset(
        study=92,
        NumberOfFrames=3,
        Rows=5,
        Columns=5,
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelRepresentation=0,
        PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes(),
    )
    send(http, encoded(made))
    path = f"/studies/{made.StudyInstanceUID}/series/{made.SeriesInstanceUID}/instances/{made.SOPInstanceUID}"
    for number in (1, 2, 3):
        (frame,) = contents(http.get(f"{path}/frames/{number}"))
        found = np.unpackbits(np.frombuffer(frame, "uint8"), bitorder="little")[:25]
        assert found.tolist() == bits[number - 1].tolist()


def test_a_picture_that_promises_too_many_pixels_is_not_decoded(http):
    send(http, ct(study=93, Rows=65535, Columns=65535))
    path = (
        f"/studies/{dicomweb.ROOT}.93/series/{dicomweb.ROOT}.93.1/instances/{dicomweb.ROOT}.93.1.1"
    )
    assert http.get(f"{path}/rendered").status_code == 406
    assert http.get(f"{path}/frames/1").status_code == 404

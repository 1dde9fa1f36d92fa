"""The DICOM JSON model."""

import base64
import io
import json
import warnings

import dicomweb
import pydicom
import pytest
from dicomweb import dataset, encoded
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicomweb_bridge import bulkdata, dicom_file, dicom_json, instance
from resources import outcome

LIMITS = dicom_file.Limits()


def _header(data):
    return dicom_file.header(dicom_file.source(io.BytesIO(data), LIMITS), LIMITS)[0]


def _json(made, syntax=pydicom.uid.ExplicitVRLittleEndian):
    return dicom_json.encode(_header(encoded(made, syntax)), "http://x/bulk")


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_implicit.dcm", "rtplan.dcm", "test-SR.dcm"]
)
def test_a_file_reads_as_the_library_reads_it(name):
    data = dicomweb.bundled(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        theirs = library.to_json_dict(bulk_data_threshold=10**9)
    ours = json.loads(dicom_json.serialise(dicom_json.encode(_header(data), "x"), "nonce"))
    different = {
        tag
        for tag in theirs.keys() | ours.keys()
        if _plain(theirs.get(tag)) != _plain(ours.get(tag))
    }
    private = {tag for tag in different if int(tag[:4], 16) % 2}
    assert different - private <= {"00080005"}


def _plain(element):
    """Give an element without what may differ: unknown VRs, empty values, number forms."""
    if element is None:
        return None
    if "BulkDataURI" in element:
        return "bulk"
    values = element.get("Value") or element.get("InlineBinary") or None
    if isinstance(values, list):
        values = [
            {tag: _plain(inner) for tag, inner in value.items()}
            if isinstance(value, dict) and element["vr"] == "SQ"
            else float(value)
            if isinstance(value, (int, float))
            else value
            for value in values
        ]
    return values


def test_decimals_keep_their_digits():
    found = dicom_json.serialise(_json(dataset(SliceThickness="2.50")), "nonce")
    assert b'"00180050":{"vr":"DS","Value":[2.50]}' in found


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_encodings_of_the_same_data_give_the_same_json(syntax):
    made = dataset(
        FrameIncrementPointer=0x00181063, RedPaletteColorLookupTableDescriptor=[1, 2, 16]
    )
    made.add_new(0x00281201, "OW", b"\1\0\2\0")
    del made.PixelData
    little = _json(made)
    other = dataset(
        FrameIncrementPointer=0x00181063, RedPaletteColorLookupTableDescriptor=[1, 2, 16]
    )
    other.add_new(0x00281201, "OW", b"\0\1\0\2" if syntax is ExplicitVRBigEndian else b"\1\0\2\0")
    del other.PixelData
    assert _json(other, syntax) == little
    assert little["00280009"]["Value"] == ["00181063"]


def test_names_have_their_groups_and_character_set():
    made = dataset(PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう")
    made.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    found = _json(made)
    assert found["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert found["00080005"]["Value"] == ["ISO_IR 192"]


def test_a_number_that_is_none_is_kept_as_text_and_an_empty_value_is_null():
    data = encoded(dataset(SliceThickness="1", PixelSpacing=["1", "2"])).replace(b"1\\2 ", b"x\\  ")
    found = dicom_json.encode(_header(data), "x")
    assert found["00280030"]["Value"] == ["x", None]


def test_infinities_are_null():
    made = dataset()
    made.add_new(0x00189073, "FD", [1.5, float("inf")])
    assert _json(made)["00189073"]["Value"] == [1.5, None]


def test_short_binary_is_inline_and_long_is_told_by_where_it_lies(tmp_path):
    made = dataset()
    made.add_new(0x00420011, "OB", b"%PDF" + bytes(5000))
    made.add_new(0x00281101, "US", [1, 2, 3])
    made.add_new(0x00091001, "OB", b"abcd")
    item = Dataset()
    item.add_new(0x54001010, "OW", bytes(3000))
    made.WaveformSequence = Sequence([item])
    path = tmp_path / "file"
    path.write_bytes(encoded(made))
    facts = instance.read(path, LIMITS)
    found = json.loads(dicom_json.with_base(facts.metadata, "https://pacs.example"))
    base = (
        f"https://pacs.example/studies/{made.StudyInstanceUID}/series/{made.SeriesInstanceUID}"
        f"/instances/{made.SOPInstanceUID}/bulkdata"
    )
    assert found["00420011"] == {"vr": "OB", "BulkDataURI": f"{base}/00420011"}
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": f"{base}/7FE00010"}
    nested = found["54000100"]["Value"][0]["54001010"]["BulkDataURI"]
    assert nested == f"{base}/54000100/0/54001010"
    assert found["00091001"]["InlineBinary"] == base64.b64encode(b"abcd").decode()
    with path.open("rb") as file:
        assert bulkdata.value(file, "00420011") == b"%PDF" + bytes(5000)
        assert bulkdata.value(file, "54000100/0/54001010") == bytes(3000)
        for missing in (
            "00420012",
            "54000100/1/54001010",
            "../x",
            "54000100",
            "00420011/0/00420011",
        ):
            with pytest.raises(outcome.NotFound):
                bulkdata.value(file, missing)


def test_text_that_looks_like_the_base_urls_place_is_left_alone(tmp_path):
    made = dataset(StudyDescription=r"a\u0000b", ImageComments=r"\u0000 and \\u0000")
    path = tmp_path / "file"
    path.write_bytes(encoded(made))
    found = json.loads(dicom_json.with_base(instance.read(path, LIMITS).metadata, "https://x"))
    assert found["00204000"]["Value"] == [r"\u0000 and \\u0000"]


def test_the_sign_of_a_pixel_value_in_an_implicit_file_follows_the_pixels():
    made = dataset(SmallestImagePixelValue=-5)
    assert _json(made, ImplicitVRLittleEndian)["00280106"] == {"vr": "SS", "Value": [-5]}


def test_a_deeply_nested_file_is_refused_and_not_a_crash(tmp_path):
    start = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    data = encoded(dataset())
    path = tmp_path / "file"
    head = 132 + 12 + int.from_bytes(data[140:144], "little")
    path.write_bytes(data[:head] + start * 5000)
    with pytest.raises(instance.Unacceptable):
        instance.read(path, LIMITS)

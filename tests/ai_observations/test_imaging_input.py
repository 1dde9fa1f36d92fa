import pytest

from ai_observations import imaging_input
from resources import outcome


def test_the_study_uid_is_the_dicom_identifier_without_urn():
    study = {
        "identifier": [
            {"system": "urn:accessions", "value": "A1"},
            {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"},
        ]
    }
    assert imaging_input.study_uid(study) == "1.2.3"


def test_a_study_without_a_uid_is_refused():
    with pytest.raises(outcome.Unprocessable, match="Study Instance UID"):
        imaging_input.study_uid({"identifier": [{"system": "urn:accessions", "value": "A1"}]})


def test_modalities_are_the_studys_and_its_series():
    study = {
        "modality": [{"code": "CT"}],
        "series": [{"modality": {"code": "SR"}}, {"uid": "1.2"}],
    }
    assert imaging_input.modalities(study) == {"CT", "SR"}

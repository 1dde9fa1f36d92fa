"""A small CT study that iq-classical measures: its files, and the FHIR resources around it."""

from dicomweb import ROOT, ct

UID = f"{ROOT}.1"
AXIAL = [1, 0, 0, 0, 1, 0]


def files(study=1, slices=4, **attributes):
    """Make the DICOM files of a few axial slices, 2 mm apart."""
    return [
        ct(
            study=study,
            number=n,
            ImagePositionPatient=[0, 0, 2 * n],
            ImageOrientationPatient=AXIAL,
            PixelSpacing=[1, 1],
            SliceThickness=2,
            **attributes,
        )
        for n in range(1, slices + 1)
    ]


def study(id_="s1", patient="p1", modality="CT", number=1, order="o1"):
    """Give the ImagingStudy of such a study."""
    return {
        "resourceType": "ImagingStudy",
        "id": id_,
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{ROOT}.{number}"}],
        "status": "available",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": modality}],
        "subject": {"reference": f"Patient/{patient}"},
        "basedOn": [{"reference": f"ServiceRequest/{order}"}],
        "started": "2026-01-02T09:11:12.500Z",
    }


def order(id_="o1", patient="p1"):
    """Give the order of such a study."""
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": "http://loinc.org", "code": "24627-2"}], "text": "CT chest"},
        "subject": {"reference": f"Patient/{patient}"},
        "encounter": {"reference": "Encounter/e1"},
        "reasonCode": [{"text": "Cough"}],
    }


def patient(id_="p1"):
    """Give the patient of such a study."""
    return {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": "urn:mrn", "value": id_}],
    }


async def story(world):
    """Write patient, order and study, and lay the images ready."""
    await world.put(patient(), order(), study())
    world.images.files[UID] = files()

"""The three patients of the demo day, all invented, and what each one's visit is about."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from msgspec import Struct

from fhir_server.demo import images
from fhir_server.demo.images import StudyIdentity

HOSPITAL = "RIVERSIDE"
PLACERS = "RIVERSIDE-EHR"
FILLERS = "RIVERSIDE-RIS"
ZONE = timezone(timedelta(hours=1))
SEED = "hounsfield demo day"

Images = Callable[[Path, Path, StudyIdentity, str], list[Path]]
"""Writes a study's DICOM files: cache, folder, whose it is, seed; gives the paths."""


class Person(Struct, frozen=True):
    """Somebody who does not exist; `birth_date` is YYYYMMDD, `sex` of HL7 table 0001."""

    number: str
    family: str
    given: str
    birth_date: str
    sex: str


class Case(Struct, frozen=True, kw_only=True):
    """A visit: who comes, what is ordered and why, which images are made and which model looks at them.

    `order` and `reason` are code, display and HL7 v2 name of the coding system; `arrives` knows its zone.
    """

    name: str
    title: str
    person: Person
    serial: int
    order: tuple[str, str, str]
    reason: tuple[str, str, str]
    section: str
    modality: str
    arrives: datetime
    images: Images
    model: str

    @property
    def visit(self) -> str:
        """Give the visit number."""
        return f"V-{self.serial}"

    @property
    def placer(self) -> str:
        """Give the number of the order at who placed it."""
        return f"P-{self.serial}"

    @property
    def filler(self) -> str:
        """Give the number of the order at who fills it."""
        return f"F-{self.serial}"

    @property
    def accession(self) -> str:
        """Give the accession number."""
        return f"A-{self.serial}"

    @property
    def study_uid(self) -> str:
        """Give the Study Instance UID."""
        return images.uid(SEED, self.modality, "study")

    def at(self, minutes: int) -> datetime:
        """Give a time of the visit, so many minutes after the arrival."""
        return self.arrives + timedelta(minutes=minutes)

    def write_images(self, cache: Path, folder: Path) -> list[Path]:
        """Write the study's DICOM files; raises ImageMissing where the source was not fetched."""
        person = self.person
        whose = StudyIdentity(
            patient_id=person.number,
            patient_issuer=HOSPITAL,
            name=f"{person.family}^{person.given}",
            birth_date=person.birth_date,
            sex=person.sex,
            accession=self.accession,
            accession_issuer=FILLERS,
            started=self.at(40),
        )
        return self.images(cache, folder / self.name, whose, SEED)


def cases() -> Sequence[Case]:
    """Give the three visits in the order of the day."""
    return (_chest_ct(), _brain_mr(), _chest_radiograph())


def _chest_ct() -> Case:
    return Case(
        name="chest-ct",
        title="Chest CT",
        person=Person("DEMO-1001", "Lindqvist", "Marta", "19580412", "F"),
        serial=1001,
        order=("24627-2", "CT Chest", "LN"),
        reason=("J44.9", "Chronic obstructive pulmonary disease, unspecified", "I10"),
        section="CT",
        modality="CT",
        arrives=datetime(2026, 3, 9, 8, 0, tzinfo=ZONE),
        images=images.chest_ct,
        model="ct-lung-measures",
    )


def _brain_mr() -> Case:
    return Case(
        name="brain-mr",
        title="Brain MR",
        person=Person("DEMO-1002", "Okafor", "Daniel", "19820923", "M"),
        serial=1002,
        order=("24590-2", "MR Brain", "LN"),
        reason=("R41.3", "Other amnesia", "I10"),
        section="NMR",
        modality="MR",
        arrives=datetime(2026, 3, 9, 9, 0, tzinfo=ZONE),
        images=images.brain_t1,
        model="brain-volume",
    )


def _chest_radiograph() -> Case:
    return Case(
        name="chest-cr",
        title="Chest radiograph",
        person=Person("DEMO-1003", "Haddad", "Yasmin", "19711130", "F"),
        serial=1003,
        order=("36554-4", "XR Chest Single view", "LN"),
        reason=("R05", "Cough", "I10"),
        section="RAD",
        modality="CR",
        arrives=datetime(2026, 3, 9, 10, 0, tzinfo=ZONE),
        images=images.chest_radiograph,
        model="iq-classical",
    )

"""A story's resources as chapters of a page: order, study, report, charge and claim in words."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from msgspec import Struct, structs

from fhir_server.pages import pictures, titles, words
from fhir_server.pages.findings import Group
from fhir_server.pages.reading import Reader
from fhir_server.pages.story import Story, place
from fhir_server.pages.words import Json
from resources.model import Resource

MOST_PICTURES = 4


class Fact(Struct, frozen=True):
    """A label with its value in words, a note beside it, and the page that it leads to."""

    label: str
    text: str
    note: str = ""
    href: str = ""


class Card(Struct, frozen=True):
    """One resource of a chapter: what it is called, its status and facts, text in its own words."""

    title: str
    href: str
    status: str = ""
    facts: tuple[Fact, ...] = ()
    text: str = ""
    by_software: bool = False


class Picture(Struct, frozen=True):
    """An image on the page with what it shows."""

    src: str
    alt: str
    caption: str


class Chapters:
    """Words for each chapter of one story."""

    def __init__(self, story: Story, reader: Reader) -> None:
        self._story = story
        self._reader = reader

    def patient(self) -> Fact:
        """Give who the story is about, by name where the Patient is seen."""
        subject = self._story.study.get("subject", {})
        found = self._story.patient
        if found is None:
            return self._who("Patient", subject)
        born = words.moment(found["birthDate"]) if "birthDate" in found else ""
        note = words.listed((str(found.get("gender", "")), f"born {born}" if born else ""))
        return Fact("Patient", titles.title(found), note, f"/resources/{place(found)}")

    def orders(self) -> list[Card]:
        """Give the orders that the study is based on."""
        return [self._order(each) for each in self._story.orders]

    def _order(self, order: Resource) -> Card:
        when = order.get("occurrenceDateTime")
        period = order.get("occurrencePeriod")
        facts = [
            Fact(words.identifier_type(each), words.identifier(each), words.assigner(each))
            for each in order.get("identifier", ())
            if each.get("system") != "urn:dicom:uid"
        ]
        facts += [
            self._who("Requested by", order.get("requester", {})),
            Fact("Ordered", words.moment(order.get("authoredOn", ""))),
            Fact("Planned for", words.moment(when) if when else words.period(period or {})),
            Fact("Priority", str(order.get("priority", ""))),
            Fact("Reason", words.listed(words.concept(r) for r in order.get("reasonCode", ()))),
        ]
        return self._card(order, titles.title(order), facts)

    def study(self) -> Card:
        """Give the study itself."""
        study = self._story.study
        started = str(study.get("started", ""))
        counts = (
            f"{study.get('numberOfSeries', 0)} series",
            words.counted(int(study.get("numberOfInstances", 0)), "image"),
        )
        accession = [
            Fact("Accession number", words.identifier(each), words.assigner(each))
            for each in study.get("identifier", ())
            if each.get("system") != "urn:dicom:uid"
        ]
        facts = [
            Fact("Modality", titles.modalities(study)),
            Fact("Acquired", words.moment(started)),
            Fact("Holds", words.listed(counts)),
            *accession,
            self._who("Referred by", study.get("referrer", {})),
            Fact("Study Instance UID", pictures.study_uid(study)),
        ]
        return self._card(study, titles.study(study), facts)

    def from_series(self) -> list[Picture]:
        """Give a picture of each series, of the first few."""
        study = self._story.study
        return [
            Picture(
                src=f"/stories/{study['id']}/series/{series['uid']}/picture.png",
                alt=f"Image from the middle of {_series(series)}",
                caption=_series(series),
            )
            for series in pictures.pictured(study)[:MOST_PICTURES]
        ]

    def from_documents(self, device: str | None, makers: Iterable[Group]) -> list[Picture]:
        """Give the first picture of each document: of those by a device, or by none of the makers (None)."""
        others = {group.device for group in makers} - {""}
        found = []
        for document in self._story.documents:
            authors = self._authors(document)
            if device in authors if device is not None else not authors & others:
                found += [self._picture(each) for each in islice(pictures.attached(document), 1)]
        return found

    def _authors(self, document: Json) -> set[str]:
        elements = [*document.get("author", ()), document.get("device", {})]
        return {path for element in elements if (path := self._reader.path(element))}

    def _picture(self, found: pictures.Attached) -> Picture:
        document = found.document
        notes = document.get("note") or [{}]
        caption = str(
            found.attachment.get("title")
            or document.get("description")
            or notes[0].get("text")
            or "Picture of the result"
        )
        path = f"{document['resourceType']}/{document['id']}/{found.number}"
        src = f"/stories/{self._story.study['id']}/documents/{path}"
        return Picture(src, caption, caption)

    def reports(self) -> list[Card]:
        """Give the reports."""
        return [self._report(each) for each in self._story.reports]

    def _report(self, report: Resource) -> Card:
        signers = [*report.get("resultsInterpreter", ()), *report.get("performer", ())]
        facts = [
            *(self._who("Signed by", signer) for signer in signers[:3]),
            Fact("Issued", words.moment(report.get("issued", ""))),
            Fact("Results", words.counted(len(report.get("result", ())), "observation")),
        ]
        card = self._card(report, titles.title(report), facts, str(report.get("conclusion", "")))
        return structs.replace(card, by_software=not signers)

    def charges(self) -> list[Card]:
        """Give what was charged, then what was claimed."""
        charges = [self._charge(each) for each in self._story.charges]
        return charges + [self._claim(each) for each in self._story.claims]

    def _charge(self, charge: Resource) -> Card:
        performers = charge.get("performer") or [{}]
        facts = [
            Fact("Code", words.codes(charge.get("code", {}))),
            Fact("Quantity", words.quantity(charge.get("quantity", {}))),
            Fact("Performed", words.moment(charge.get("occurrenceDateTime", ""))),
            Fact("Reason", words.listed(words.concept(r) for r in charge.get("reason", ()))),
            self._who("Performer", performers[0].get("actor", {})),
        ]
        return self._card(charge, f"Charge: {titles.title(charge)}", facts)

    def _claim(self, claim: Resource) -> Card:
        insurance = claim.get("insurance") or [{}]
        total = claim.get("total", {})
        amount = f"{total.get('value', '')} {total.get('currency', '')}".strip()
        facts = [
            Fact("Kind", words.concept(claim.get("type", {}))),
            Fact("Created", words.moment(claim.get("created", ""))),
            self._who("Provider", claim.get("provider", {})),
            self._who("Coverage", insurance[0].get("coverage", {})),
            Fact("Total", amount or "not priced"),
        ]
        return self._card(claim, f"Claim: {titles.title(claim)}", facts)

    def tasks(self) -> list[Card]:
        """Give the work on the study that is not done, or failed."""
        shown = [each for each in self._story.tasks if each.get("status") != "completed"]
        return [
            self._card(
                task,
                titles.title(task),
                [
                    Fact("Asked for", words.moment(task.get("authoredOn", ""))),
                    Fact("Why", words.concept(task.get("statusReason", {}))),
                ],
            )
            for task in shown
        ]

    def _who(self, label: str, element: Mapping[str, Any]) -> Fact:
        """Give whom or what a Reference means, as a link where it is seen on this server."""
        path = self._reader.path(element)
        named = element.get("identifier") or {}
        found = self._story.beside.get(path)
        text = element.get("display") or (titles.title(found) if found else path)
        return Fact(
            label,
            str(text or words.identifier(named)),
            "" if text else words.identifier_type(named) if named else "",
            f"/resources/{path}" if path else "",
        )

    def _card(self, resource: Resource, title: str, facts: Iterable[Fact], text: str = "") -> Card:
        told = tuple(fact for fact in facts if fact.text)
        href = f"/resources/{place(resource)}"
        return Card(title, href, str(resource.get("status", "")), told, text)


def _series(series: Json) -> str:
    modality = str(series.get("modality", {}).get("code", ""))
    count = series.get("numberOfInstances")
    images = words.counted(int(count), "image") if count else ""
    name = str(series.get("description") or f"series {series.get('number', '')}".strip())
    return words.listed((f"{modality} {name}".strip(), images))

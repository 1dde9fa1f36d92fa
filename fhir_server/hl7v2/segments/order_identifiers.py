"""The numbers of an order: placer, filler, accession, study (v2-to-FHIR IG, ORC and OBR[ServiceRequest])."""

import re
from typing import Any, NamedTuple

from fhir_server.hl7v2 import identifiers
from fhir_server.hl7v2.message import Segments
from fhir_server.hl7v2.refusal import FieldMissing
from fhir_server.hl7v2.sender import Assigner
from fhir_server.hl7v2.transaction import Transaction

_UID = re.compile(r"[0-9.]{3,64}", re.ASCII)


class Numbers(NamedTuple):
    """The identifiers of an order, each an Identifier or None."""

    placer: dict[str, Any] | None
    filler: dict[str, Any] | None
    accession: dict[str, Any] | None
    group: dict[str, Any] | None
    study: dict[str, Any] | None

    @property
    def all(self) -> list[dict[str, Any]]:
        """Give those that ServiceRequest.identifier holds, in order."""
        return [each for each in (self.placer, self.filler, self.accession, self.study) if each]


def numbers(order: Segments, transaction: Transaction) -> Numbers:
    """Read the numbers of one order; raises FieldMissing without placer and filler number."""
    placer = _number(order, 2, transaction, "PLAC")
    filler = _number(order, 3, transaction, "FILL")
    if placer is None and filler is None:
        orc = order.segments[0]
        raise FieldMissing("The order has no placer and no filler number", location=orc.location(2))
    return Numbers(
        placer,
        filler,
        _accession(order, transaction, filler),
        _group(order, transaction),
        _study(order),
    )


def _number(
    order: Segments, field: int, transaction: Transaction, kind: str
) -> dict[str, Any] | None:
    """Give the number that OBR holds, else that of ORC: the two must be the same where both are sent."""
    fallback = transaction.fallback({"PLAC": "placer", "FILL": "filler"}[kind])
    found = [
        number
        for segment in (order.find("OBR"), order.find("ORC"))
        if segment
        and (
            number := identifiers.ei(segment.field(field).first, transaction.sender, fallback, kind)
        )
    ]
    if not found:
        return None
    named = [number for number in found if "assigner" in number] or found
    if len({number["value"] for number in found}) > 1:
        transaction.note(order["ORC"], field, "OBR holds another number, which is taken")
        return found[0]
    return named[0]


def _accession(
    order: Segments, transaction: Transaction, filler: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Give the accession number: of OBR-18, or the filler number where the sender says that they are one.

    Where it names no assigner: the configured one, else the filler number's, else the sending facility.
    """
    sender = transaction.sender
    if sender.accession == "filler":
        if filler is None:
            return None
        return identifiers.identifier(
            filler["system"], filler["value"], "ACSN", filler.get("assigner", {}).get("display", "")
        )
    obr = order.find("OBR")
    if obr is None or not obr.field(18):
        return None
    configured = Assigner(sender.accession_assigner)
    fallback = sender.system(configured) if configured.name else transaction.fallback()
    name = configured.name
    if not name and filler is not None and "assigner" in filler:
        fallback, name = filler["system"], filler["assigner"]["display"]
    found = identifiers.ei(obr.field(18).first, sender, fallback, "ACSN")
    if found and name and "assigner" not in found:
        found["assigner"] = {"display": name}
    return found


def _group(order: Segments, transaction: Transaction) -> dict[str, Any] | None:
    """Give the placer group number, ORC-4, that orders placed together share."""
    orc = order.find("ORC")
    fallback = transaction.fallback("placer-group")
    return identifiers.ei(orc.field(4).first, transaction.sender, fallback, "PGN") if orc else None


def _study(order: Segments) -> dict[str, Any] | None:
    """Give the Study Instance UID that the filler has assigned, ZDS-1 (IHE RAD TF-2, 4.4)."""
    zds = order.find("ZDS")
    uid = zds.value("1") if zds else ""
    if zds is None or not _UID.fullmatch(uid):
        return None
    zds.accept(1)
    return identifiers.identifier("urn:dicom:uid", f"urn:oid:{uid}")

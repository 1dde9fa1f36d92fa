"""ORM^O01, general order: one ServiceRequest for each ORC group (v2-to-FHIR IG, message map ORM_O01)."""

from collections.abc import Iterator

from fhir_server.hl7v2 import tables
from fhir_server.hl7v2.message import Message, Segment, Segments
from fhir_server.hl7v2.message_map import message_map
from fhir_server.hl7v2.refusal import SegmentMissing
from fhir_server.hl7v2.segments import order_identifiers, service_request, visit
from fhir_server.hl7v2.segments.order_identifiers import Numbers
from fhir_server.hl7v2.transaction import Transaction


@message_map("ORM", "O01")
def order(message: Message, transaction: Transaction) -> None:
    """Patient and Encounter if they are new, a ServiceRequest an order, its Practitioners if new."""
    head, groups = message.groups("ORC")
    if not groups:
        raise SegmentMissing("An order message has no ORC segment", location="ORC")
    overwrite = transaction.sender.orders_update_patients
    subject = visit.Subject(head, transaction, overwrite=overwrite)
    orders = [each for group in groups for each in _orders(group)]
    numbers = [order_identifiers.numbers(each, transaction) for each in orders]
    key = numbers[0].placer or numbers[0].filler or {}
    encounter = visit.write(
        head, subject, transaction, overwrite=overwrite, fallback=f"{key['system']}|{key['value']}"
    )
    for each, own in zip(orders, numbers, strict=True):
        _write(each, own, subject.reference, encounter, transaction)


def _orders(group: Segments) -> Iterator[Segments]:
    """Cut a group with several OBR into one order each, all with the group's ORC."""
    common, details = group.groups("OBR")
    if not details:
        yield group
    for detail in details:
        yield Segments((*common, *detail))


def _write(
    order: Segments, numbers: Numbers, subject: str, encounter: str | None, transaction: Transaction
) -> None:
    """Write one order: whole, or only its status where an order is changed and not told again."""
    orc = order["ORC"]
    key = _key(numbers, transaction)
    if _only_status(order, orc):
        transaction.patch("ServiceRequest", service_request.status_patch(orc, transaction), key)
        return
    resource = service_request.service_request(order, numbers, subject, encounter, transaction)
    transaction.update(resource, key, place=orc.location(2))


def _key(numbers: Numbers, transaction: Transaction) -> dict[str, str]:
    """Give the placer number, or the filler number where the placer's is taken in this message."""
    free = [
        number
        for number in (numbers.placer, numbers.filler)
        if number and not transaction.holds("ServiceRequest", number)
    ]
    return (free or [numbers.placer or numbers.filler or {}])[0]


def _only_status(order: Segments, orc: Segment) -> bool:
    """Tell whether the message only ends, holds or releases an order, without saying what it is."""
    detail = order.find("OBR")
    told = detail is not None and bool(detail.field(4))
    return not told and orc.value("1").upper() in tables.STATUS_CONTROL

"""ORM^O01, general order: one ServiceRequest for each ORC group (v2-to-FHIR IG, message map ORM_O01)."""

from collections.abc import Iterator
from typing import Any

from fhir_server.hl7v2 import tables
from fhir_server.hl7v2.message import Message, Segment, Segments
from fhir_server.hl7v2.message_map import message_map
from fhir_server.hl7v2.refusal import DuplicateKey, SegmentMissing
from fhir_server.hl7v2.segments import order_identifiers, service_request, visit
from fhir_server.hl7v2.segments.order_identifiers import Numbers
from fhir_server.hl7v2.transaction import Transaction

Identifier = dict[str, Any]


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
    first = numbers[0].all[0]
    fallback = f"{first['system']}|{first['value']}"
    encounter = visit.write(head, subject, transaction, overwrite=overwrite, fallback=fallback)
    taken: set[tuple[str, str]] = set()
    for each, own in zip(orders, numbers, strict=True):
        key = _key(own, taken, each["ORC"])
        _write(each, own, key, (subject.reference, encounter), transaction)


def _orders(group: Segments) -> Iterator[Segments]:
    """Cut a group with several OBR into one order each, all with the group's ORC."""
    common, details = group.groups("OBR")
    if not details:
        yield group
    for detail in details:
        yield Segments((*common, *detail))


def _write(
    order: Segments,
    numbers: Numbers,
    key: Identifier,
    about: tuple[str, str | None],
    transaction: Transaction,
) -> None:
    """Write one order: whole, or only its status where an order is changed and not told again.

    `about` are the references to the patient and, where there is one, the encounter.
    """
    orc = order["ORC"]
    if _only_status(order, orc):
        operations = service_request.status_patch(orc, transaction)
        transaction.patch("ServiceRequest", operations, key)
        return
    resource = service_request.service_request(order, numbers, *about, transaction)
    transaction.update(resource, key, place=orc.location(2))


def _key(numbers: Numbers, taken: set[tuple[str, str]], orc: Segment) -> Identifier:
    """Give the placer number, or the filler number where an order before has the same placer number.

    Raises DuplicateKey where both are those of orders before.
    """
    both = [number for number in (numbers.placer, numbers.filler) if number]
    free = [number for number in both if (number["system"], number["value"]) not in taken]
    if not free:
        raise DuplicateKey("Two orders of the message have one number", location=orc.location(2))
    taken.update((number["system"], number["value"]) for number in both)
    return free[0]


def _only_status(order: Segments, orc: Segment) -> bool:
    """Tell whether the message only ends, holds or releases an order, without saying what it is."""
    detail = order.find("OBR")
    told = detail is not None and bool(detail.field(4))
    return not told and orc.value("1").upper() in tables.STATUS_CONTROL

"""When and how urgently an order is to be done: TQ1, or the TQ of ORC-7 and OBR-27 (v2-to-FHIR IG)."""

from typing import Any

from fhir_server.hl7v2 import identifiers, tables, times
from fhir_server.hl7v2.message import Segments
from fhir_server.hl7v2.transaction import Transaction


def occurrence(order: Segments, transaction: Transaction) -> dict[str, Any]:
    """Give occurrencePeriod or occurrenceDateTime from the first place that holds a start, or nothing.

    The places are TQ1-7, ORC-7.4, OBR-27.4, then OBR-36 (scheduled) and OBR-6 (requested).
    """
    for segment, start, end in (
        (order.find("TQ1"), "7", "8"),
        (order.find("ORC"), "7.4", "7.5"),
        (order.find("OBR"), "27.4", "27.5"),
        (order.find("OBR"), "36", ""),
        (order.find("OBR"), "6", ""),
    ):
        value = segment.value(start) if segment else ""
        if segment is None or not value:
            continue
        if times.date_time(value, transaction.zone) is None:
            transaction.note(segment, int(start.split(".")[0]), "it is no date")
            continue
        span = identifiers.span(value, segment.value(end) if end else "", transaction.zone)
        return (
            {"occurrencePeriod": span} if "end" in span else {"occurrenceDateTime": span["start"]}
        )
    return {}


def priority(order: Segments, transaction: Transaction) -> str | None:
    """Give the FHIR request priority from TQ1-9, ORC-7.6, OBR-27.6 or OBR-5, the first that has a code."""
    for segment, path in (
        (order.find("TQ1"), "9"),
        (order.find("ORC"), "7.6"),
        (order.find("OBR"), "27.6"),
        (order.find("OBR"), "5"),
    ):
        code = segment.value(path).upper() if segment else ""
        if segment is None or not code:
            continue
        found = tables.PRIORITY.get(code)
        if found is None:
            transaction.note(segment, int(path.split(".")[0]), "the code is not in table 0485")
            continue
        return found
    return None

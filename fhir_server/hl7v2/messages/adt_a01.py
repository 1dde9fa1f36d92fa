"""ADT^A01, A04 and A08: admit, register, update (v2-to-FHIR IG, message map ADT_A01)."""

from fhir_server.hl7v2.message import Message
from fhir_server.hl7v2.message_map import message_map
from fhir_server.hl7v2.segments import visit
from fhir_server.hl7v2.transaction import Transaction


@message_map("ADT", "A01", "A04", "A08")
def admit(message: Message, transaction: Transaction) -> None:
    """Patient and Encounter, as the message gives them: what it leaves out is no longer so."""
    subject = visit.Subject(message, transaction, overwrite=True)
    begins = message.event != "A08"
    fallback = _moment(message) if begins else ""
    visit.write(message, subject, transaction, overwrite=True, fallback=fallback)


def _moment(message: Message) -> str:
    """Give when the event was: EVN-6, EVN-2, else the time of the message."""
    event = message.find("EVN")
    given = (event.value("6") or event.value("2")) if event else ""
    return given or message.header.value("7")

"""PID and PV1 together: the patient and the visit that a message is about."""

from typing import Any

from fhir_server.hl7v2.message import Segment, Segments
from fhir_server.hl7v2.segments import encounter, patient
from fhir_server.hl7v2.transaction import Transaction


class Subject:
    """The patient as written: the reference to it, and the identifier that it is found by."""

    def __init__(self, head: Segments, transaction: Transaction, *, overwrite: bool) -> None:
        """Write the patient of the PID: overwriting what is known, or only if there is none."""
        self.pid = head["PID"]
        resource, self.key = patient.patient(self.pid, transaction)
        if overwrite:
            place = self.pid.location(3)
            self.reference = transaction.update(resource, self.key, place=place)
        else:
            self.reference = transaction.create(resource, self.key)


def write(
    head: Segments, subject: Subject, transaction: Transaction, *, overwrite: bool, fallback: str
) -> str | None:
    """Write the Encounter of the PV1 and give the reference to it, None where nothing identifies one.

    A visit is found by PV1-19, else PV1-50, else by patient and admission time (PV1-44), else by patient
    and account (PID-18), else by patient and `fallback` (empty: not at all).
    """
    pv1 = head.find("PV1")
    if pv1 is None:
        return None
    account = patient.account(subject.pid, transaction)
    found = encounter.visit_identifiers(pv1, transaction)
    if not found:
        derived = _derived(pv1, subject, account, fallback)
        if derived is None:
            transaction.note(pv1, 19, "nothing identifies the visit, which is not written")
            return None
        found = [derived]
    resource = encounter.encounter(pv1, transaction, subject.reference)
    resource["identifier"] = found
    if account:
        resource["account"] = [{"type": "Account", "identifier": account}]
    if overwrite:
        return transaction.update(resource, found[0], place=pv1.location(19))
    return transaction.create(resource, found[0])


def _derived(
    pv1: Segment, subject: Subject, account: dict[str, Any] | None, fallback: str
) -> dict[str, Any] | None:
    """Give an identifier made of the patient and the best of what tells visits apart, or None."""
    patient_key = (subject.key["system"], subject.key["value"])
    if admitted := pv1.value("44"):
        return encounter.derived_identifier(*patient_key, "admitted", admitted)
    if account:
        parts = (account["system"], account["value"])
        return encounter.derived_identifier(*patient_key, "account", *parts)
    return encounter.derived_identifier(*patient_key, "event", fallback) if fallback else None

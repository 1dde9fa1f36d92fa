"""The demo's HL7 v2.5.1 messages: ADT^A04 registers a visit (§3.3.4), ORM^O01 places its order (§4.4.1)."""

from datetime import datetime

from fhir_server.demo.patients import FILLERS, HOSPITAL, PLACERS, Case

_SENDER = "EHR"
_DOCTOR = "D-7^Berg^Ingrid^^^Dr"


def admission(case: Case) -> bytes:
    """Give the ADT^A04 of a visit."""
    at = case.at(0)
    return _message(
        _header(case, "ADT^A04^ADT_A01", "ADT", at),
        _segment("EVN", {1: "A04", 2: _moment(at)}),
        _patient(case),
        _visit(case),
    )


def order(case: Case) -> bytes:
    """Give the ORM^O01 of a visit: one new order with placer, filler and accession number."""
    at = case.at(10)
    numbers = {2: f"{case.placer}^{PLACERS}", 3: f"{case.filler}^{FILLERS}"}
    ordered = {1: "1", **numbers, 4: _coded(case.order), 16: _doctor(), 24: case.section}
    ordered |= {18: f"{case.accession}^{FILLERS}", 31: _coded(case.reason)}
    return _message(
        _header(case, "ORM^O01^ORM_O01", "ORM", at),
        _patient(case),
        _visit(case),
        _segment("ORC", {1: "NW", **numbers, 5: "SC", 9: _moment(at), 12: _doctor()}),
        _segment("OBR", ordered),
    )


def answer(acknowledgement: bytes) -> tuple[str, str]:
    """Give MSA-1 and MSA-2 of an acknowledgement: its code and whose it is; empty where it has none."""
    for line in acknowledgement.decode("utf-8", "replace").split("\r"):
        if line.startswith("MSA|"):
            fields = [*line.split("|"), "", ""]
            return fields[1], fields[2]
    return "", ""


def control_id(message: bytes) -> str:
    """Give MSH-10 of a message of ours."""
    return message.decode().split("|", 10)[9]


def _header(case: Case, kind: str, short: str, at: datetime) -> str:
    fields = {2: "^~\\&", 3: _SENDER, 4: HOSPITAL, 5: "HOUNSFIELD", 6: HOSPITAL, 7: _moment(at)}
    fields |= {9: kind, 10: f"DEMO-{short}-{case.serial}", 11: "P", 12: "2.5.1"}
    return _segment("MSH", fields | {18: "UNICODE UTF-8"})


def _patient(case: Case) -> str:
    person = case.person
    return _segment("PID", {
        1: "1", 3: f"{person.number}^^^{HOSPITAL}^MR", 5: f"{person.family}^{person.given}^^^^^L",
        7: person.birth_date, 8: person.sex,
    })  # fmt: skip


def _visit(case: Case) -> str:
    return _segment("PV1", {
        1: "1", 2: "O", 3: f"RADIOLOGY^^^{HOSPITAL}", 8: _doctor(),
        19: f"{case.visit}^^^{HOSPITAL}^VN", 44: _moment(case.at(0)),
    })  # fmt: skip


def _doctor() -> str:
    return f"{_DOCTOR}^^^{HOSPITAL}"


def _coded(concept: tuple[str, str, str]) -> str:
    return "^".join(concept)


def _moment(at: datetime) -> str:
    """Give a time with its zone (HL7 v2.5.1 §2.A.22, DTM)."""
    return at.strftime("%Y%m%d%H%M%S%z")


def _segment(name: str, fields: dict[int, str]) -> str:
    """Write a segment of fields by number; MSH-1 is the separator itself."""
    first = 2 if name == "MSH" else 1
    values = [fields.get(number, "") for number in range(first, max(fields) + 1)]
    return "|".join([name, *values])


def _message(*segments: str) -> bytes:
    return "".join(f"{segment}\r" for segment in segments).encode()

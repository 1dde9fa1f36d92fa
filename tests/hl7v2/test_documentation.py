"""docs/hl7v2.md names every map, every refusal's code, every setting of a sender; its example is read."""

import re
from pathlib import Path

import pytest
from msgspec.structs import fields

from fhir_server.hl7v2 import refusal, sender, translation
from fhir_server.hl7v2.refusal import Refusal


@pytest.fixture(scope="module")
def page():
    return (Path(__file__).parents[2] / "docs/hl7v2.md").read_text(encoding="utf-8")


def test_every_map_is_named(page):
    for type_, event in translation.standard_maps().declared:
        assert f"`{type_}^{event}`" in page


def test_every_code_of_a_refusal_is_named_with_its_answer(page):
    answers = {row[3:5]: row for row in re.findall(r"^\| `A[ER]`.*$", page, re.MULTILINE)}
    kinds = [kind for kind in vars(refusal).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, Refusal) and kind is not Refusal:
            assert kind.code in answers[kind.acknowledgement], kind.__name__


def test_every_setting_of_a_sender_is_in_the_example_which_is_read(page):
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    for each in fields(sender.Sender):
        assert re.search(rf"^{each.name} =", example, re.MULTILINE), each.name
    senders = sender.configured(example.encode())
    assert senders.find("ADT", "HOSP").assigners == {"HOSP": "urn:oid:1.2.250.1.99"}
    assert senders.default.zone == "Europe/Paris"

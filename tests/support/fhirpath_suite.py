"""The official FHIRPath tests, read from the corpus, and what each must give."""

import gzip
import json
from dataclasses import dataclass
from decimal import Decimal

from lxml import etree

from resources import definitions
from resources.fhirpath.environment import Environment
from resources.fhirpath.evaluate import Evaluator
from resources.fhirpath.faults import FhirPathFault
from resources.fhirpath.item import STRING
from resources.fhirpath.parse import SyntaxFault
from resources.fhirpath.system import value_of
from resources.model import parse
from resources.xml import from_xml

STRICT = Environment(strict=True)


@dataclass(frozen=True)
class Case:
    """One test: an expression on an input, and the outputs as (type, text), or how it is invalid."""

    name: str
    group: str
    expression: str
    input: str
    invalid: str
    outputs: tuple[tuple[str, str], ...]
    predicate: bool


def cases(folder):
    """Give every test of the suite, in its order."""
    root = etree.fromstring((folder / "tests-fhir-r4.xml").read_bytes())
    for group in root.iter("group"):
        for test in group.iter("test"):
            expression = test.find("expression")
            yield Case(
                test.get("name"),
                group.get("name"),
                expression.text,
                test.get("inputfile", ""),
                expression.get("invalid", ""),
                tuple((o.get("type", ""), o.text or "") for o in test.iter("output")),
                test.get("predicate") == "true",
            )


def resource(folder, name):
    """Give an input as JSON; tests without one are run on an empty Patient."""
    if not name:
        return {"resourceType": "Patient"}
    raw = (folder / "input" / name).read_bytes()
    if name.endswith(".gz"):
        raw = gzip.decompress(raw)
    return parse(raw) if b"{" in raw[:3] else from_xml(in_order(raw))


def in_order(raw):
    """Put a document's elements into the order of the definitions, which one of the inputs breaks."""
    root = etree.fromstring(raw, etree.XMLParser(remove_comments=True))
    children = definitions.load().children(etree.QName(root).localname)
    names = [
        name for element in children.values() for name in definitions.load().json_names(element)
    ]
    root[:] = sorted(root, key=lambda child: names.index(etree.QName(child).localname))
    return etree.tostring(root)


def outcome(evaluator: Evaluator, case: Case, given):
    """Give None where a case holds, else what came instead."""
    try:
        items = evaluator.items(case.expression, given, STRICT)
    except (FhirPathFault, SyntaxFault) as fault:
        return None if case.invalid else f"{type(fault).__name__}: {fault}"
    if case.invalid:
        return f"no {case.invalid} fault"
    if case.predicate:
        items = [item for item in items if value_of(item) is not False][:1]
        return None if bool(items) == (case.outputs[0][1] == "true") else "another predicate"
    found = [(item.type, shown(item)) for item in items]
    if len(found) != len(case.outputs):
        return f"{len(found)} items, not {len(case.outputs)}: {found}"
    wrong = [
        f"{kind} {text}, not {wanted_kind} {wanted}"
        for (kind, text), (wanted_kind, wanted) in zip(found, case.outputs, strict=True)
        if not same(kind, text, wanted_kind, wanted)
    ]
    return "; ".join(wrong) or None


def same(kind, text, wanted_kind, wanted):
    """Compare an item with an output: the type where the output names one, and the text."""
    plain = kind.rpartition(".")[2]
    if wanted_kind and plain.lower() != wanted_kind.lower():
        return False
    wanted = wanted.removeprefix("@").removeprefix("T") if "@" in wanted[:1] else wanted
    if wanted_kind == "decimal":
        return Decimal(text) == Decimal(wanted)
    return text == wanted


def shown(item):
    """Give an item as the suite writes it."""
    value = value_of(item)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    if value is None:
        return json.dumps(item.value, default=str, sort_keys=True)
    return value if item.type == STRING else str(value)

"""Resources made up from the definitions by chance, the same for the same seed."""

import random
import re

from resources import definitions

DEFINITIONS = definitions.load()
DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p>A note.</p></div>'
LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'")
RARE = frozenset(("contained", "extension", "modifierExtension", "id"))
OF_RESOURCES = frozenset(("implicitRules", "language", "meta", "text"))
DEEPEST = 7


class Generator:
    """Makes values of any type; `words` are texts that it likes to use, `density` how much it fills in."""

    def __init__(self, seed, words=(), density=0.2):
        self.chance = random.Random(seed)
        self.words = tuple(words)
        self.density = density

    def resource(self, type_name):
        """A resource of a type, with an id and a narrative."""
        made = self.value(type_name)
        narrated = "text" in DEFINITIONS.children(type_name)
        text = {"text": {"status": "generated", "div": DIV}} if narrated else {}
        return {"resourceType": type_name, "id": f"g{self.chance.randrange(10**6)}", **text, **made}

    def value(self, path, depth=0, also=()):
        """A value of a type or nested path; the elements named in `also` are there."""
        kind = DEFINITIONS.kind(path)
        if kind == "primitive":
            return self.primitive(path)
        if path in SPECIAL:
            return SPECIAL[path](self)
        made = {}
        for element in DEFINITIONS.children(path).values():
            if element.name in RARE or (kind == "resource" and element.name in OF_RESOURCES):
                continue
            wanted = element.min or element.name in also
            if wanted or (depth < DEEPEST and self.chance.random() < self.density / (1 + depth)):
                name, held = self.element(path, element, depth)
                made[name] = held
        return made or self.least(path, depth)

    def least(self, path, depth):
        """Something of a type without required elements, as no element is empty."""
        found = [
            e for e in DEFINITIONS.children(path).values() if e.name not in (*RARE, "id", "text")
        ]
        simple = [e for e in found if e.types and DEFINITIONS.kind(e.types[0].code) == "primitive"]
        name, held = self.element(path, (simple or found)[0], depth)
        return {name: held}

    def element(self, path, element, depth):
        """The property name and value of an element, one or two values where it repeats."""
        names = list(DEFINITIONS.json_names(element).items())
        name, type_ref = self.chance.choice(names)
        number = max(element.min, self.chance.choice((1, 1, 1, 2)))
        made = [self.typed(path, element, type_ref, depth + 1) for _ in range(number)]
        return name, made[0] if element.max == 1 else made

    def typed(self, path, element, type_ref, depth):
        """One value of an element."""
        content = DEFINITIONS.content(path, element, type_ref)
        codes = self.codes(element)
        if codes and content == "code":
            return self.chance.choice(codes)[1]
        if codes and content == "CodeableConcept":
            system, code = self.chance.choice(codes)
            return {"coding": [{"system": system, "code": code}]}
        if content == "Reference":
            targets = type_ref.targets or ("Patient",)
            target = self.chance.choice(targets).replace("Resource", "Patient")
            return {"reference": f"{target}/{self.chance.randrange(1000)}"}
        if content == "Quantity" and type_ref.profile == "SimpleQuantity":
            return {n: v for n, v in self.value(content, depth).items() if n != "comparator"} or {
                "value": 1
            }
        if element.name == "linkId":
            return f"l{self.chance.randrange(10**9)}"
        return self.value(content, depth)

    def codes(self, element):
        """The codes of a required binding that are known."""
        binding = element.binding
        if binding is None or binding.strength != "required":
            return None
        return sorted(DEFINITIONS.codes(binding.value_set) or ())

    def primitive(self, type_name):
        """A value of a primitive type."""
        chance = self.chance
        if self.words and type_name in TEXTS and chance.random() < 0.7:
            return chance.choice(self.words)
        return chance.choice(PRIMITIVES.get(type_name, PRIMITIVES["string"]))


TEXTS = frozenset(("string", "markdown"))
UUID = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
PRIMITIVES = {
    "base64Binary": ["AAEC", "AA=="],
    "boolean": [True, False],
    "canonical": ["http://a.example/c", "http://a.example/d|1.0"],
    "code": ["a", "b", "draft"],
    "date": ["2019", "2020-02", "2020-02-29", "2021-01-01"],
    "dateTime": ["2019", "2020-02-29", "2021-01-01T10:00:00Z", "2018-01-01T10:00:00.5+01:00"],
    "decimal": [0, 1, -2],
    "id": ["a", "b-1"],
    "instant": ["2021-01-01T10:00:00Z", "2018-01-01T10:00:00.5+01:00"],
    "integer": [0, 1, 2, 5],
    "markdown": ["*a*"],
    "oid": ["urn:oid:1.2.3"],
    "positiveInt": [1, 3],
    "string": ["a", "b", "Zorn", "x y"],
    "time": ["10:00:00", "23:59:59.5"],
    "unsignedInt": [0, 4],
    "uri": ["http://a.example/u", UUID],
    "url": ["http://a.example/u"],
    "uuid": [UUID],
    "xhtml": [DIV],
}
SPECIAL = {
    "Extension": lambda _: {"url": "http://a.example/e", "valueString": "x"},
    "Narrative": lambda _: {"status": "generated", "div": DIV},
    "Resource": lambda _: {"resourceType": "Basic", "id": "b", "code": {"text": "x"}},
    "Reference": lambda made: {"reference": f"Patient/{made.chance.randrange(1000)}"},
    "Meta": lambda _: {"tag": [{"code": "t"}]},
}


def literals(expression):
    """The strings that an expression compares to."""
    return [text.replace("\\", "") for text in LITERAL.findall(expression) if text]


def names(expression):
    """The words of an expression, which may be the names of elements."""
    return set(re.findall(r"[a-z][A-Za-z]+", LITERAL.sub("", expression)))

"""R4 definitions → JSON Schema of one resource type (FHIR R4 json.html, structuredefinition.html).

Draft 4, because there an integer may not be written 1.0, as in FHIR. A resource inside another is
only an object here; conformance.validate checks it by its own type.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct

from conformance import primitives
from resources.definitions import Definitions, Element, TypeRef

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-04/schema#"
ALIGNED = "aligned"
FILLED = "filled"
EXCLUSIVE = "exclusive"
TYPED = "typed"
_MANY = 16
_INLINED = frozenset(
    ("Address", "CodeableConcept", "Coding", "Identifier", "Period", "Quantity", "Reference")
)
_ID = r"[A-Za-z0-9\-.]{1,64}"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*:"


class References(Struct, frozen=True):
    """Which references stand in a resource besides Type/id and absolute ones.

    `local`: #id, because the resource has contained ones or is one; `conditional`: Type?query,
    because the resource is an entry of a transaction (FHIR R4 http.html#trules).
    """

    local: bool = False
    conditional: bool = False

    def form(self) -> str:
        """Give the pattern of Reference.reference, whatever the type referred to."""
        forms = [rf"[A-Z][A-Za-z]+/{_ID}(?:/_history/{_ID})?", rf"{_SCHEME}[^ \t\r\n]+"]
        forms += [r"#[^ \t\r\n#]*"] if self.local else []
        forms += [r"[A-Z][A-Za-z]+\?[^ \t\r\n]+"] if self.conditional else []
        return f"^(?:{'|'.join(forms)})$"

    @staticmethod
    def start(types: Iterable[str]) -> str:
        """Give the pattern of how a reference starts where these types may be referred to."""
        return f"^(?:#|(?:{'|'.join(sorted(types))})[/?]|{_SCHEME})"


class _Builder:
    """Gathers the schemas that one resource type needs, by name."""

    def __init__(self, definitions: Definitions, references: References) -> None:
        self.definitions = definitions
        self.references = references
        self.found: dict[str, Schema] = {}

    def ref(self, name: str, build: Callable[[], Schema]) -> Schema:
        """Give a reference to a named schema, which is built if it is new."""
        if name not in self.found:
            self.found[name] = {}
            self.found[name] = build()
        return {"$ref": f"#/definitions/{name}"}

    def type(self, name: str) -> Schema:
        """Give a reference to the schema of a type, of a nested path or of an element's id."""
        is_primitive = self.definitions.kind(name) == "primitive" or name == primitives.ELEMENT_ID
        if is_primitive:
            return self.ref(name, lambda: primitives.schema(self.definitions, name))
        return self.ref(name, lambda: self.object(name))

    def _reference(self, type_ref: TypeRef) -> Schema:
        targets = () if "Resource" in type_ref.targets else type_ref.targets

        def build() -> Schema:
            built = self.object("Reference")
            start = self.references.start(targets or self.definitions.resource_types)
            form = self.ref("reference", self._reference_form)
            built["properties"]["reference"] = {"allOf": [form, {"pattern": start}]}
            return built

        return self.ref("~".join(("Reference", *targets)), build)

    def _reference_form(self) -> Schema:
        return {"type": "string", "pattern": self.references.form()}

    def object(self, path: str) -> Schema:
        """Give the schema of a type or of a nested path."""
        properties: dict[str, Schema] = {}
        built: Schema = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "minProperties": 1,
        }
        required: list[str] = []
        rules: list[Schema] = []
        children = self.definitions.children(path)
        for element in children.values():
            for name, type_ref in self.definitions.json_names(element).items():
                properties.update(self._properties(path, element, name, type_ref))
            if element.min and not element.choice and f"_{element.name}" not in properties:
                required.append(element.name)
        for element in children.values():
            rules.extend(_presence(path, element, self.definitions, properties, len(required)))
        if self.definitions.kind(path) == "resource":
            properties["resourceType"] = {"enum": [path]}
            required.append("resourceType")
        dependencies = _dependencies(path, properties)
        optional = {"required": required, "allOf": rules, "dependencies": dependencies}
        built.update((key, value) for key, value in optional.items() if value)
        return built

    def _properties(
        self, path: str, element: Element, name: str, type_ref: TypeRef
    ) -> Iterator[tuple[str, Schema]]:
        content = self.definitions.content(path, element, type_ref)
        value = self._value(path, element, type_ref, content)
        extensible = _extensible(path, element, self.definitions.kind(content))
        if element.max == 1:
            yield name, value
            if extensible:
                yield f"_{name}", self.type("Element")
            return
        yield name, _array(element, {"anyOf": [value, {"type": "null"}]} if extensible else value)
        if extensible:
            yield f"_{name}", _array(element, {"anyOf": [self.type("Element"), {"type": "null"}]})

    def _value(self, path: str, element: Element, type_ref: TypeRef, content: str) -> Schema:
        match content:
            case "Resource":
                return {"type": "object", "required": ["resourceType"]}
            case "Reference":
                return self._reference(type_ref)
            case "code" | "CodeableConcept":
                return self._coded(element, content)
            case "Quantity" if type_ref.profile == "SimpleQuantity":
                return {"allOf": [self.type(content), {"not": {"required": ["comparator"]}}]}
            case _ if self._is_checked_apart(element, content):
                return {"type": "object", TYPED: content}
            case _:
                is_element_id = element.name == "id" and self.definitions.kind(path) != "resource"
                return self.type(primitives.ELEMENT_ID if is_element_id else content)

    def _is_checked_apart(self, element: Element, content: str) -> bool:
        """Whether a choice of nearly any type leaves this rarely used one out of the schema."""
        is_rare = self.definitions.kind(content) == "complex" and content not in _INLINED
        return is_rare and len(element.types) > _MANY

    def _coded(self, element: Element, content: str) -> Schema:
        """A required binding whose codes are known is part of the structure."""
        binding = element.binding
        is_required = binding is not None and binding.strength == "required"
        codes = self.definitions.codes(binding.value_set) if binding and is_required else None
        if binding is None or codes is None:
            return self.type(content)
        name = binding.value_set.rpartition("/")[2]
        if content == "code":
            return self.ref(f"codes~{name}", lambda: _enumerated(codes))
        return {"allOf": [self.type(content), self.ref(f"concept~{name}", lambda: _concept(codes))]}


def _array(element: Element, items: Schema) -> Schema:
    built: Schema = {"type": "array", "minItems": max(element.min, 1), "items": items}
    if element.max is not None:
        built["maxItems"] = element.max
    return built


def _extensible(path: str, element: Element, kind: str | None) -> bool:
    """Whether the property has a companion with an underscore, for id and extensions."""
    plain = element.name in ("id", "div") or (path, element.name) == ("Extension", "url")
    return kind == "primitive" and not plain


def _enumerated(codes: frozenset[tuple[str, str]]) -> Schema:
    return {"enum": sorted({code for _, code in codes})}


def _concept(codes: frozenset[tuple[str, str]]) -> Schema:
    """A CodeableConcept of a required binding has a coding from the set, or says why not."""
    systems: dict[str, list[str]] = {}
    for system, code in sorted(codes):
        systems.setdefault(system, []).append(code)
    codings = [
        {
            "properties": {"system": {"enum": [system]}, "code": {"enum": held}},
            "required": ["system", "code"],
        }
        for system, held in systems.items()
    ]
    outside = {"type": "array", "items": {"not": {"anyOf": codings}}}
    inside = {"required": ["coding"], "not": {"properties": {"coding": outside}}}
    return {"anyOf": [inside, {"required": ["extension"]}]}


def _present(name: str, properties: Schema) -> Schema:
    if f"_{name}" not in properties:
        return {"required": [name]}
    return {"anyOf": [{"required": [name]}, {"required": [f"_{name}"]}]}


def _presence(
    path: str, element: Element, definitions: Definitions, properties: Schema, required: int
) -> Iterator[Schema]:
    """Give the rules on which of an element's property names are there, together or at all."""
    name = element.name
    if element.choice:
        names = tuple(definitions.json_names(element))
        yield _choice(path, element, names, properties, required)
    elif f"_{name}" in properties:
        if element.min:
            yield _present(name, properties)
        if element.max != 1:
            filled = {"properties": {name: {"items": {"not": {"type": "null"}}}}}
            yield {"anyOf": [{"required": [f"_{name}"]}, filled]}


def _value_or_nested(names: tuple[str, ...]) -> Schema:
    """An extension has a value or extensions (ext-1); most have a url and one of the two only."""
    pair = {"minProperties": 2, "maxProperties": 2}
    return {"anyOf": [{**pair, "not": {"required": ["id"]}}, {FILLED: names}]}


def _choice(
    path: str, element: Element, names: tuple[str, ...], properties: Schema, required: int
) -> Schema:
    """At most one type of a choice is there; an object with few properties has no room for two."""
    present = [_present(name, properties) for name in names]
    if element.min:
        return {"oneOf": present}
    few = {"maxProperties": required + 1}
    if path == "Extension":
        return _value_or_nested(names)
    if len(names) > _MANY:
        return {"anyOf": [few, {EXCLUSIVE: names}]}
    return {"anyOf": [few, {"oneOf": [{"not": {"anyOf": present}}, *present]}]}


def _dependencies(path: str, properties: Schema) -> Schema:
    """Give the rules that hold only where a property is there (ele-1).

    An id alone is no content, but for the companion of a primitive, an Element, beside its value.
    """
    found: Schema = {name: {ALIGNED: name[1:]} for name in properties if name[0] == "_"}
    if "id" in properties and "resourceType" not in properties and path != "Element":
        found["id"] = {"minProperties": 2}
    return found


def type_schema(definitions: Definitions, type_name: str, references: References) -> Schema:
    """Give the JSON Schema of a resource type or datatype, with four keywords of our own.

    `aligned` NAME: NAME and _NAME hold a value or extensions at each position; `exclusive` NAMES: at
    most one of them is there; `filled` NAMES: one of them is there, or else extension; `typed` TYPE: the
    value is of this type, which has its own schema.
    """
    builder = _Builder(definitions, references)
    top = builder.type(type_name)
    return {"$schema": DRAFT, **top, "definitions": builder.found}

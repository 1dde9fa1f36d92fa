"""Snapshots: a base's elements with a differential applied (FHIR R4 profiling.html#snapshot)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from conformance.profile.element_tree import (
    CHOICE,
    ElementDefinition,
    Node,
    Steps,
    elements,
    tree,
)
from resources.model import Resource, copy

CORE = "http://hl7.org/fhir/StructureDefinition/"
_SYSTEM = "http://hl7.org/fhirpath/"
_UNITED = {"alias": None, "code": None, "condition": None, "mapping": None, "constraint": "key"}
_TEXTS = ("definition", "comment", "requirements")
_DEEPEST = 24

Find = Callable[[str], Resource | None]
"""Gives a StructureDefinition by its canonical URL."""


class SnapshotFault(ValueError):
    """A snapshot cannot be made; the text names what is missing or goes round in a circle."""


class Snapshots:
    """Gives the element trees of StructureDefinitions, making those that lack a snapshot."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._trees: dict[str, Node] = {}
        self._open: list[str] = []

    def of(self, url: str) -> Node:
        """Give the tree of a canonical URL, not to be changed; raises SnapshotFault."""
        known = self._trees.get(url)
        if known is None:
            known = self._trees[url] = self._made(url)
        return known

    def _made(self, url: str) -> Node:
        whole, _, part = url.partition("#")
        if part:
            return self._part(self.of(whole), part)
        definition = self._find(url)
        if definition is None:
            raise SnapshotFault(f"The definition {url} is not known here")
        return self.of_definition(definition)

    @staticmethod
    def _part(root: Node, identity: str) -> Node:
        """Give the element of an id, for extension elementdefinition-profile-element."""
        node: Node | None = root
        for step in identity.split(".")[1:]:
            name, colon, slice_name = step.partition(":")
            node = node.child(name) if node else None
            if colon and node is not None:
                node = node.sliced(slice_name)
        if node is None:
            raise SnapshotFault("The element that a profile refers to is not there")
        return node

    def rules(self, url: str) -> Sequence[dict[str, Any]]:
        """Give the constraints that a type states at its own root."""
        definition = self._find(url) or {}
        for part in ("differential", "snapshot"):
            if held := definition.get(part, {}).get("element"):
                found: list[dict[str, Any]] = held[0].get("constraint", [])
                return found
        return ()

    def of_definition(self, definition: Resource) -> Node:
        """Give the tree of a StructureDefinition, from its snapshot where it has one."""
        held = definition.get("snapshot", {}).get("element")
        return tree(held) if held else self.generated(definition)

    def generated(self, definition: Resource) -> Node:
        """Give the tree that a differential makes of its base; raises SnapshotFault."""
        url = definition["url"]
        if url in self._open or len(self._open) > _DEEPEST:
            raise SnapshotFault(f"The definition {url} derives from itself")
        self._open.append(url)
        try:
            return _Application(self, definition).made()
        finally:
            self._open.pop()


def with_snapshot(definition: Resource, snapshots: Snapshots) -> Resource:
    """Give a StructureDefinition with its snapshot; as it is where it has one."""
    if definition.get("snapshot", {}).get("element"):
        return definition
    made = list(elements(snapshots.generated(definition)))
    return {**definition, "snapshot": {"element": made}}


class _Application:
    """One differential on its way onto the tree of its base."""

    def __init__(self, snapshots: Snapshots, definition: Resource) -> None:
        self._snapshots = snapshots
        self._definition = definition
        self._specialises = definition.get("derivation", "specialization") == "specialization"
        self._type: str = definition["type"].rpartition("/")[2]
        self._sliced: dict[int, Node] = {}
        self._narrowed: dict[int, list[dict[str, Any]]] = {}
        self._root = self._begun()

    def _begun(self) -> Node:
        base = self._definition.get("baseDefinition")
        if base is None:
            first = self._definition["differential"]["element"][0]
            return Node({**copy(first), "base": _base(first)})
        found = self._snapshots.of(base.partition("|")[0])
        return found.copied(self._type)

    def made(self) -> Node:
        """Give the root of the snapshot: the base definition, changed as the differential says."""
        differential = self._definition.get("differential", {}).get("element", ())
        steps = Steps()
        for element in differential:
            at = steps.of(element)
            if not at:
                self._merge_root(element)
                continue
            node = self._root
            for name, slice_name in at[:-1]:
                node = self._step(node, name, slice_name, None)
            last = self._step(node, *at[-1], element)
            is_new = len(last.element) <= len(_BEGUN)
            self._merge(last, element)
            if is_new:
                self._inherit(last)
        return self._root

    def _inherit(self, node: Node) -> None:
        """Give a new element the rules of its type's root: those of Element, and of Extension."""
        codes = {held.get("code", "") for held in node.types}
        if "Resource" in codes or any(code.startswith(_SYSTEM) for code in codes):
            return
        names = ("Element", "Extension") if codes == {"Extension"} else ("Element",)
        for name in names:
            _unite(node.element, "constraint", self._snapshots.rules(CORE + name), "key")

    def _merge_root(self, element: ElementDefinition) -> None:
        if self._specialises:
            kept = self._root.element
            self._root.element = {**copy(element), "base": _base(element)}
            if "constraint" in kept:
                _unite(self._root.element, "constraint", kept["constraint"], "key")
            return
        self._merge(self._root, element)

    def _step(
        self, parent: Node, name: str, slice_name: str | None, element: ElementDefinition | None
    ) -> Node:
        """Give a child, expanding its parent's type, and its slice where one is named."""
        if name not in parent.children:
            self._expand(parent)
        found = parent.children.get(name)
        if found is None:
            choice = _choice_of(parent, name)
            if choice is not None:
                return self._typed_slice(choice, name)
            if self._specialises and element is not None:
                found = self._new(parent, name, element)
            else:
                raise SnapshotFault(f"{self._definition['url']}: no element {name} to constrain")
        return found if slice_name is None else self._slice(found, slice_name)

    @staticmethod
    def _new(parent: Node, name: str, element: ElementDefinition) -> Node:
        path = f"{parent.element['path']}.{name}"
        parent.children[name] = Node({"path": path, "base": _base(element)})
        return parent.children[name]

    def _typed_slice(self, choice: Node, name: str) -> Node:
        """Give the slice of a choice that a path like Observation.valueQuantity means; others are out."""
        if len(choice.types) == 1 and not choice.slices:
            return choice
        known = choice.sliced(name)
        made = self._slice(choice, name)
        if known is None:
            self._narrowed.setdefault(id(choice), []).extend(made.types)
            choice.element["type"] = copy(self._narrowed[id(choice)])
            choice.element["slicing"] = {**_BY_TYPE, "rules": "closed"}
        return made

    def _slice(self, sliced: Node, name: str) -> Node:
        found = sliced.sliced(name) or self._new_slice(sliced, name)
        self._sliced[id(found)] = sliced
        return found

    @staticmethod
    def _new_slice(sliced: Node, name: str) -> Node:
        outer, _, rest = name.partition("/")
        holder = sliced.slices[outer] if rest and outer in sliced.slices else sliced
        if sliced.name.endswith(CHOICE):
            sliced.element.setdefault("slicing", _BY_TYPE)
        elif sliced.name in {"extension", "modifierExtension"}:
            sliced.element.setdefault("slicing", _BY_URL)
        made = holder.copied(holder.element["path"])
        made.slices = {}
        made.children = {}
        made.element.pop("slicing", None)
        made.element |= {"sliceName": name, "min": 0}
        if sliced.name.endswith(CHOICE):
            made.element["type"] = [
                t for t in sliced.types if _json_name(sliced, t["code"]) == name
            ] or made.element["type"]
        holder.slices[name] = made
        return made

    def _expand(self, node: Node) -> None:
        """Give a node the children of its type, where it has none."""
        if node.children:
            return
        sliced = self._sliced.get(id(node))
        if sliced is not None and sliced.children:
            path = node.element["path"]
            node.children = {n: c.copied(f"{path}.{n}") for n, c in sliced.children.items()}
            return
        reference = node.element.get("contentReference")
        found = self._of_type(node) if reference is None else self._referred(reference)
        if found is not None:
            path = node.element["path"]
            node.children = {n: c.copied(f"{path}.{n}") for n, c in found.children.items()}

    def _of_type(self, node: Node) -> Node | None:
        types = node.types
        if not types or types[0]["code"].startswith(_SYSTEM):
            return None
        if len(types) > 1:
            return self._snapshots.of(f"{CORE}Element")
        profiles = type_profiles(types[0])
        if len(profiles) == 1:
            try:
                return self._snapshots.of(profiles[0])
            except SnapshotFault:
                return self._snapshots.of(CORE + types[0]["code"])
        return self._snapshots.of(CORE + types[0]["code"])

    def _referred(self, reference: str) -> Node | None:
        node: Node | None = self._root
        for name in reference.partition("#")[2].split(".")[1:]:
            node = node.children.get(name) if node else None
        return node

    def _merge(self, node: Node, element: ElementDefinition) -> None:
        held = node.element
        url = self._definition["url"]
        for name, value in element.items():
            if name in {"id", "path", "base"}:
                continue
            if name in _UNITED:
                _unite(held, name, [_sourced(name, v, url) for v in value], _UNITED[name])
            elif name in _TEXTS and str(value).startswith("...") and name in held:
                held[name] = f"{held[name]}\n{value[3:]}"
            else:
                held[name] = copy(value)
        if "type" in element:
            held.pop("contentReference", None)


PROFILE_ELEMENT = CORE + "elementdefinition-profile-element"


def type_profiles(held: Mapping[str, Any]) -> list[str]:
    """Give the profiles of one type without versions, `#` and an element's id after one of an element."""
    found = [url.partition("|")[0] for url in held.get("profile", ())]
    for index, beside in enumerate(held.get("_profile", ())):
        for extension in (beside or {}).get("extension", ()):
            if extension.get("url") == PROFILE_ELEMENT and index < len(found):
                found[index] += f"#{extension.get('valueString')}"
    return found


_BEGUN = ("path", "base")
_BY_TYPE = {
    "discriminator": [{"type": "type", "path": "$this"}],
    "ordered": False,
    "rules": "open",
}
_BY_URL = {"discriminator": [{"type": "value", "path": "url"}], "ordered": False, "rules": "open"}


def _base(element: ElementDefinition) -> dict[str, Any]:
    return {"path": element["path"], "min": element.get("min", 0), "max": element.get("max", "*")}


def _sourced(name: str, value: Any, url: str) -> Any:
    if name != "constraint":
        return value
    return {**value, "source": value.get("source", url)}


def _unite(held: ElementDefinition, name: str, added: Sequence[Any], key: str | None) -> None:
    """Add what is new to a list; an entry with the same key is replaced."""
    before = list(held.get(name, ()))
    if key is None:
        held[name] = before + [copy(value) for value in added if value not in before]
        return
    keys = {value[key] for value in added}
    held[name] = [v for v in before if v.get(key) not in keys] + [copy(v) for v in added]


def _json_name(choice: Node, code: str) -> str:
    return choice.name.removesuffix(CHOICE) + code[:1].upper() + code[1:]


def _choice_of(parent: Node, name: str) -> Node | None:
    """Give the choice that a name such as valueQuantity is a type of."""
    for child in parent.children.values():
        if child.name.endswith(CHOICE) and any(
            _json_name(child, held["code"]) == name for held in child.types
        ):
            return child
    return None

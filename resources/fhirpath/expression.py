"""The FHIRPath syntax tree: frozen nodes that write themselves back as text (FHIRPath N1 grammar)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal as Choice

LiteralType = Choice["boolean", "string", "integer", "decimal", "date", "dateTime", "time"]


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; dates and times keep their text without the leading @ (a time keeps its T)."""

    value: bool | str | int | Decimal
    type: LiteralType

    def __str__(self) -> str:
        if self.type == "boolean":
            return "true" if self.value else "false"
        if self.type == "string":
            text = str(self.value).replace("\\", "\\\\").replace("'", "\\'")
            return f"'{text}'"
        if self.type in {"date", "dateTime", "time"}:
            return f"@{self.value}"
        return format(self.value, "f") if isinstance(self.value, Decimal) else str(self.value)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity constant, e.g. 4 'mg' or 3 days; `unit` is UCUM, or a calendar word."""

    value: Decimal
    unit: str
    calendar: bool = False

    def __str__(self) -> str:
        unit = self.unit if self.calendar else str(Literal(self.unit, "string"))
        return f"{self.value:f} {unit}"


@dataclass(frozen=True, slots=True)
class Empty:
    """The empty collection {}."""

    def __str__(self) -> str:
        return "{}"


@dataclass(frozen=True, slots=True)
class This:
    """$this, $index or $total."""

    name: str = "$this"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class External:
    """An external constant such as %resource."""

    name: str

    def __str__(self) -> str:
        return f"%{self.name}" if self.name.isidentifier() else f"%`{self.name}`"


@dataclass(frozen=True, slots=True)
class Path:
    """A child of the target by name, or of the context where the target is None."""

    target: Node | None
    name: str

    def __str__(self) -> str:
        name = self.name if self.name.isidentifier() else f"`{self.name}`"
        return name if self.target is None else f"{_operand(self.target)}.{name}"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the target, or of the context where the target is None."""

    target: Node | None
    name: str
    arguments: tuple[Node, ...]

    def __str__(self) -> str:
        call = f"{self.name}({', '.join(map(str, self.arguments))})"
        return call if self.target is None else f"{_operand(self.target)}.{call}"


@dataclass(frozen=True, slots=True)
class Index:
    """One item of the target by its place, counted from 0."""

    target: Node
    place: Node

    def __str__(self) -> str:
        return f"{_operand(self.target)}[{self.place}]"


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`is` or `as` with a type name, which may be qualified: FHIR.Patient."""

    operator: Choice["is", "as"]
    operand: Node
    type: str

    def __str__(self) -> str:
        return f"{_operand(self.operand)} {self.operator} {self.type}"


@dataclass(frozen=True, slots=True)
class Sign:
    """A leading + or -."""

    operator: Choice["+", "-"]
    operand: Node

    def __str__(self) -> str:
        return f"{self.operator}{_operand(self.operand)}"


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and the operator between them, in lower case."""

    operator: str
    left: Node
    right: Node

    def __str__(self) -> str:
        return f"{_operand(self.left)} {self.operator} {_operand(self.right)}"


Node = Literal | Quantity | Empty | This | External | Path | Call | Index | TypeTest | Sign | Binary


def _operand(node: Node) -> str:
    return f"({node})" if isinstance(node, Binary | TypeTest | Sign) else str(node)

"""A message, its segments, fields, repetitions, components (HL7 v2.5.1 §2.5): lenient and lossless.

What is read through `value` is remembered, so that what no map read can be told (`coverage`).
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from fhir_server.hl7v2 import character_sets
from fhir_server.hl7v2.escapes import Separators, clean, unescape
from fhir_server.hl7v2.refusal import SegmentMissing, Unreadable, UnsupportedMessage

NULL = '""'
_LINE = re.compile(r"\r\n|\r|\n")
_FRAMING = b"\x0b\x1c\r\n \t"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DEFAULTS = Separators()

Place = tuple[int, ...]


@lru_cache(maxsize=1024)
def _path(path: str) -> tuple[int, int, int]:
    """Give field, component and subcomponent of a path like 5.1.1; parts left out are 1."""
    field, component, subcomponent, *_ = [*(int(part) for part in path.split(".")), 1, 1]
    return field, component, subcomponent


class Component:
    """One component, read by subcomponent."""

    __slots__ = ("_component", "_repetition", "raw")

    def __init__(self, repetition: "Repetition", component: int, raw: str) -> None:
        self._repetition = repetition
        self._component = component
        self.raw = raw

    def value(self, subcomponent: int = 1) -> str:
        """Give a subcomponent's text, counted from 1; empty where there is none."""
        return self._repetition.value(self._component, subcomponent)


class Repetition:
    """One repetition of a field."""

    __slots__ = ("_components", "index", "number", "raw", "segment")

    def __init__(self, segment: "Segment", number: int, index: int, raw: str) -> None:
        self.segment = segment
        self.number = number
        self.index = index
        self.raw = raw
        self._components = raw.split(segment.separators.component)

    def __bool__(self) -> bool:
        return self.raw not in {"", NULL}

    @property
    def components(self) -> tuple[Component, ...]:
        """Give the components in order."""
        return tuple(Component(self, n, raw) for n, raw in enumerate(self._components, 1))

    def component(self, component: int) -> Component:
        """Give a component, counted from 1; an empty one where there is none."""
        inside = component <= len(self._components)
        return Component(self, component, self._components[component - 1] if inside else "")

    def value(self, component: int = 1, subcomponent: int = 1) -> str:
        """Give the text of a component's subcomponent, unescaped; empty where there is none or null."""
        if component > len(self._components):
            return ""
        raw = self._components[component - 1]
        separators = self.segment.separators
        if separators.subcomponent and separators.subcomponent in raw:
            parts = raw.split(separators.subcomponent)
            raw = parts[subcomponent - 1] if subcomponent <= len(parts) else ""
        elif subcomponent > 1:
            return ""
        if not raw:
            return ""
        self.segment.seen.add((self.number, self.index, component, subcomponent))
        return "" if raw == NULL else clean(unescape(raw, separators, self.segment.codec))

    def text(self) -> str:
        """Give the whole repetition as text: FT, TX and ST fields in which separators were not escaped."""
        self.segment.seen.add((self.number, self.index))
        if self.raw == NULL:
            return ""
        return clean(unescape(self.raw, self.segment.separators, self.segment.codec))


class Field:
    """One field: its repetitions."""

    __slots__ = ("number", "raw", "segment")

    def __init__(self, segment: "Segment", number: int, raw: str) -> None:
        self.segment = segment
        self.number = number
        self.raw = raw

    def __bool__(self) -> bool:
        return self.raw not in {"", NULL}

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """Give the repetitions that have content, in order; none for an empty field."""
        if not self.raw:
            return ()
        mark = self.segment.separators.repetition
        if not mark or mark not in self.raw or self._encoding_characters:
            return (Repetition(self.segment, self.number, 1, self.raw),)
        return tuple(
            Repetition(self.segment, self.number, index, raw)
            for index, raw in enumerate(self.raw.split(mark), 1)
            if raw
        )

    @property
    def first(self) -> Repetition:
        """Give the first repetition that has content, or an empty one."""
        found = self.repetitions
        return found[0] if found else Repetition(self.segment, self.number, 1, "")

    @property
    def _encoding_characters(self) -> bool:
        """Tell whether this is MSH-1 or MSH-2, in which separators stand for themselves."""
        return self.number <= 2 and self.segment.name == "MSH"

    def value(self, component: int = 1, subcomponent: int = 1) -> str:
        """Give text from the first repetition that has content."""
        return self.first.value(component, subcomponent) if self.raw else ""


class Segment:
    """One segment: `occurrence` counts those of its name from 1; `seen` holds the places that were read."""

    __slots__ = ("codec", "fields", "name", "occurrence", "raw", "seen", "separators")

    def __init__(self, raw: str, separators: Separators, codec: str, occurrence: int = 1) -> None:
        self.raw = raw
        self.separators = separators
        self.codec = codec
        self.occurrence = occurrence
        self.fields = raw.split(separators.field)
        self.name = self.fields[0].upper()
        if self.name == "MSH":
            self.fields.insert(1, separators.field)
        self.seen: set[Place] = set()

    def field(self, number: int) -> Field:
        """Give a field by its number in the standard (MSH-1 is the separator); an empty one past the end."""
        return Field(self, number, self.fields[number] if number < len(self.fields) else "")

    def value(self, path: str) -> str:
        """Give text by field.component.subcomponent, e.g. 5.1.1, from the field's first repetition."""
        field, component, subcomponent = _path(path)
        if field >= len(self.fields) or not self.fields[field]:
            return ""
        return self.field(field).value(component, subcomponent)

    def accept(self, *numbers: int) -> None:
        """Count fields as read whole: set ids and control fields that carry nothing of the patient."""
        self.seen.update((number,) for number in numbers)

    def location(self, number: int) -> str:
        """Give the name of a field, with the segment's occurrence where it is not the first."""
        place = f"[{self.occurrence}]" if self.occurrence > 1 else ""
        return f"{self.name}{place}-{number}"


class Segments:
    """Segments in their order."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self.segments = tuple(segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, name: str) -> Segment:
        """Give the first segment of a name; raises SegmentMissing."""
        found = self.find(name)
        if found is None:
            raise SegmentMissing(f"The message has no {name} segment", location=name)
        return found

    def find(self, name: str) -> Segment | None:
        """Give the first segment of a name, or None."""
        return next((segment for segment in self.segments if segment.name == name), None)

    def all(self, name: str) -> tuple[Segment, ...]:
        """Give every segment of a name."""
        return tuple(segment for segment in self.segments if segment.name == name)

    def groups(self, name: str) -> tuple["Segments", tuple["Segments", ...]]:
        """Cut before every segment of a name: what stands before the first, and the groups that follow."""
        starts = [n for n, segment in enumerate(self.segments) if segment.name == name]
        ends = [*starts[1:], len(self.segments)]
        head = self.segments[: starts[0]] if starts else self.segments
        groups = zip(starts, ends, strict=True) if starts else ()
        return Segments(head), tuple(Segments(self.segments[a:b]) for a, b in groups)


class Message(Segments):
    """A whole message; `fault` tells what was wrong with its character set."""

    def __init__(self, segments: Iterable[Segment], raw: bytes, codec: str, fault: str) -> None:
        super().__init__(segments)
        self.raw = raw
        self.codec = codec
        self.fault = fault
        self.header = self.segments[0]
        self.separators = self.header.separators

    @property
    def type(self) -> str:
        """Give the message code, MSH-9.1, e.g. ADT."""
        return self.header.value("9.1")

    @property
    def event(self) -> str:
        """Give the trigger event, MSH-9.2 or, before v2.3, EVN-1."""
        event = self.find("EVN")
        return self.header.value("9.2") or (event.value("1") if event else "")

    @property
    def control_id(self) -> str:
        """Give MSH-10."""
        return self.header.value("10")

    @property
    def version(self) -> str:
        """Give MSH-12.1, e.g. 2.5.1."""
        return self.header.value("12")

    def sender(self, field: int) -> str:
        """Give the name of the sending application (3) or facility (4): its namespace, else universal id."""
        return self.header.value(f"{field}.1") or self.header.value(f"{field}.2")

    @property
    def text(self) -> str:
        """Give the message as text, segments ended by CR."""
        return "".join(f"{segment.raw}\r" for segment in self.segments)


def parse(data: bytes, default: str = "") -> Message:
    """Read a message whose segments end in CR, LF or both; `default` is the set where MSH-18 is empty.

    A line that begins no segment continues the field before it. Raises Unreadable, UnsupportedMessage
    for a batch, WrongDatatype for a character set that is not known; nothing else.
    """
    if not data.startswith(_UTF_16):
        data = data.strip(_FRAMING)
    decoded = character_sets.decode(data, default)
    text = decoded.text.lstrip("\ufeff").strip()
    if text[:3] in {"FHS", "BHS"}:
        raise UnsupportedMessage("Batches are not taken; send each message in its own frame")
    separators = _separators(text)
    segments: list[Segment] = []
    count: dict[str, int] = {}
    for line in _lines(text, separators):
        name = line[:3].upper()
        count[name] = count.get(name, 0) + 1
        segments.append(Segment(line, separators, decoded.codec, count[name]))
    if count["MSH"] > 1:
        raise Unreadable("Two messages stand in one frame", location="MSH[2]")
    return Message(segments, data, decoded.codec, decoded.fault)


def split(data: bytes) -> tuple[bytes, ...]:
    """Give the messages of a file: framed, in a batch, or one after another; none if there is no MSH."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\x0b", b"\r").replace(b"\x1c", b"\r")
    starts = [found.start(1) for found in re.finditer(rb"(?:\A|[\r\n])\s*(MSH[^\w\s])", text)]
    ends = [*starts[1:], len(text)][: len(starts)]
    trailer = re.compile(rb"[\r\n](?:BTS|FTS|BHS|FHS)[^\r\n]*")
    return tuple(
        trailer.sub(b"", text[a:b]).strip(_FRAMING) + b"\r"
        for a, b in zip(starts, ends, strict=True)
    )


def _separators(text: str) -> Separators:
    """Read MSH-1 and MSH-2; characters left out are the usual ones. Raises Unreadable."""
    field = text[3:4]
    if text[:3] != "MSH" or not field or field.isalnum() or field.isspace():
        raise Unreadable("A message begins with MSH and a field separator", location="MSH")
    given = _LINE.split(text, 1)[0][4:].split(field, 1)[0]
    component = given[:1] or _DEFAULTS.component
    repetition = given[1:2] or ("" if given else _DEFAULTS.repetition)
    escape = given[2:3] or ("" if given else _DEFAULTS.escape)
    subcomponent = given[3:4] or ("" if given else _DEFAULTS.subcomponent)
    used = [mark for mark in (field, component, repetition, escape, subcomponent) if mark]
    if len(set(used)) != len(used) or any(mark.isalnum() or mark.isspace() for mark in used):
        raise Unreadable("The encoding characters are ambiguous", location="MSH-2")
    return Separators(field, component, repetition, escape, subcomponent)


def _lines(text: str, separators: Separators) -> list[str]:
    """Give the segments' lines, those that begin none joined to the line before by a line feed."""
    begins = re.compile(rf"[A-Za-z][A-Za-z0-9]{{2}}(?:{re.escape(separators.field)}|\s*\Z)")
    lines: list[str] = []
    for line in _LINE.split(text):
        if begins.match(line):
            lines.append(line)
        elif line.strip():
            lines[-1] += f"\n{line}"
    return lines

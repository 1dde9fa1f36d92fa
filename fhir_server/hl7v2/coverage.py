"""What of a message no map has read: places and reasons, never values."""

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from fhir_server.hl7v2.message import NULL, Message, Place, Segment
from resources import outcome
from resources.model import Resource


class Gap(Struct, frozen=True, order=True):
    """One place of the message, e.g. NK1[2] or PID-5[2].8, and why its content is not in the Bundle."""

    segment: str
    place: str
    reason: str

    @property
    def text(self) -> str:
        """Give the gap as a sentence for a person."""
        return f"{self.place}: {self.reason}"


class Coverage(Struct, frozen=True):
    """The gaps of one translation, in the order of the message."""

    gaps: tuple[Gap, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.gaps)

    def counts(self) -> Counter[str]:
        """Give the number of gaps by segment."""
        return Counter(gap.segment for gap in self.gaps)

    def outcome(self) -> Resource:
        """Give an OperationOutcome: a warning a gap, or one issue that says that there are none."""
        if not self.gaps:
            return outcome.information("All content of the message is mapped")
        return outcome.operation_outcome(
            [outcome.Issue("warning", "incomplete", gap.text) for gap in self.gaps]
        )


SEGMENT_NOT_MAPPED = "no map reads this segment"
FIELD_NOT_MAPPED = "no map reads this field"
PART_NOT_MAPPED = "no map reads this part of the field"


def unread(message: Message) -> Iterator[Gap]:
    """Yield a gap for each segment, field, repetition or component that has content and was not read."""
    for segment in message:
        if segment.seen:
            yield from _fields(segment)
        elif any(raw and raw != NULL for raw in segment.fields[1:]):
            yield Gap(segment.name, _segment_place(segment), SEGMENT_NOT_MAPPED)


def _segment_place(segment: Segment) -> str:
    return segment.name if segment.occurrence == 1 else f"{segment.name}[{segment.occurrence}]"


Read = dict[tuple[int, int], set[tuple[int, int]]]


def _fields(segment: Segment) -> Iterator[Gap]:
    """Yield the gaps inside a segment of which something was read."""
    touched, whole, read = _reading(segment)
    repeat = segment.separators.repetition
    for number in range(3 if segment.name == "MSH" else 1, len(segment.fields)):
        raw = segment.fields[number]
        if not raw.strip() or raw == NULL or (number,) in whole:
            continue
        if number not in touched:
            yield Gap(segment.name, segment.location(number), FIELD_NOT_MAPPED)
            continue
        for index, part in enumerate(raw.split(repeat) if repeat else [raw], 1):
            if part.strip() and part != NULL and (number, index) not in whole:
                place = segment.location(number) + (f"[{index}]" if index > 1 else "")
                yield from _parts(segment, part, place, read.get((number, index), set()))


def _reading(segment: Segment) -> tuple[set[int], set[Place], Read]:
    """Give the fields of which something was read, the places read whole, the parts by repetition."""
    touched: set[int] = set()
    whole: set[Place] = set()
    read: Read = {}
    for place in segment.seen:
        touched.add(place[0])
        if len(place) < 4:
            whole.add(place)
        else:
            number, index, component, subcomponent = place
            read.setdefault((number, index), set()).add((component, subcomponent))
    return touched, whole, read


def _parts(segment: Segment, raw: str, place: str, read: set[tuple[int, int]]) -> Iterator[Gap]:
    """Yield the gaps inside a repetition."""
    if not read:
        yield Gap(segment.name, place, "no map reads this repetition")
        return
    components = {component for component, _ in read}
    split = segment.separators.subcomponent
    for n, component in enumerate(raw.split(segment.separators.component), 1):
        if not component:
            continue
        parts = component.split(split) if split else [component]
        missed = [m for m, part in enumerate(parts, 1) if _told(part) and (n, m) not in read]
        if missed and n not in components:
            yield Gap(segment.name, f"{place}.{n}", PART_NOT_MAPPED)
        else:
            for m in missed:
                yield Gap(segment.name, f"{place}.{n}.{m}", PART_NOT_MAPPED)


def _told(part: str) -> bool:
    """Tell whether a part says something: it is neither empty nor null."""
    return part != NULL and bool(part.strip())

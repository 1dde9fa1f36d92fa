"""The declaration of a message map: which messages it reads, and the function that reads them."""

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType

from msgspec import Struct

from fhir_server import registry
from fhir_server.hl7v2.message import Message
from fhir_server.hl7v2.refusal import UnsupportedEvent, UnsupportedMessage
from fhir_server.hl7v2.transaction import Transaction

GROUP = "fhir_server.hl7v2.messages"
Reading = Callable[[Message, Transaction], None]


class MessageMap(Struct, frozen=True):
    """Reads messages of a type and trigger events into a transaction."""

    type: str
    events: tuple[str, ...]
    read: Reading

    @property
    def title(self) -> str:
        """Give the first sentence of the reading function's docstring."""
        return (self.read.__doc__ or "").strip().split("\n", 1)[0]


class TwoMaps(ValueError):
    """Two declarations claim one message type and trigger event."""


def message_map(type_: str, *events: str) -> Callable[[Reading], MessageMap]:
    """Declare that a function reads the messages of a type and its trigger events."""

    def declare(read: Reading) -> MessageMap:
        return MessageMap(type_, events, read)

    return declare


class Maps:
    """The maps by type and event."""

    def __init__(self, maps: Iterable[MessageMap]) -> None:
        """Raise TwoMaps if two maps claim one event."""
        self._maps: dict[tuple[str, str], MessageMap] = {}
        for found in maps:
            for event in found.events:
                if (found.type, event) in self._maps:
                    raise TwoMaps(f"Two maps read {found.type}^{event}")
                self._maps[found.type, event] = found

    def find(self, message: Message) -> MessageMap:
        """Give the map of a message; raises UnsupportedMessage or UnsupportedEvent."""
        found = self._maps.get((message.type, message.event))
        if found is not None:
            return found
        if any(type_ == message.type for type_, _ in self._maps):
            raise UnsupportedEvent("No map reads this trigger event", location="MSH-9.2")
        raise UnsupportedMessage("No map reads this message type", location="MSH-9.1")

    @property
    def declared(self) -> Mapping[tuple[str, str], MessageMap]:
        """Give the maps by type and event."""
        return self._maps


def discovered(package: ModuleType) -> Maps:
    """Give the maps that are declared in a package and by plug-ins."""
    return Maps(registry.discover(package, MessageMap, GROUP))

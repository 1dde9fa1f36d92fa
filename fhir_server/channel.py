"""What a command that serves in several processes and its workers say: JSON lines on a socket pair."""

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fhir_server.settings import Settings

T = TypeVar("T")


class Order(msgspec.Struct, frozen=True):
    """The first word to a worker: the settings, the address that clients know, whether it leads."""

    settings: dict[str, Any]
    public_url: str
    leads: bool


class Word(msgspec.Struct, frozen=True):
    """States of components by name; the first one from a worker says that it answers requests."""

    states: Mapping[str, str]


def order(settings: Settings, public_url: str, *, leads: bool) -> Order:
    """Give the orders for a worker."""
    values = msgspec.to_builtins(dataclasses.asdict(settings), enc_hook=str)
    return Order(values, public_url, leads)


def settings_of(order: Order) -> Settings:
    """Give the settings of an order."""
    return msgspec.convert(order.settings, Settings, dec_hook=_path)


def _path(type_: type, value: str) -> Path:
    if type_ is not Path:
        raise TypeError(f"a setting of type {type_.__name__}")
    return Path(value)


def say(writer: asyncio.StreamWriter, what: msgspec.Struct) -> None:
    """Say something; what is said to nobody is lost."""
    if not writer.is_closing():
        writer.write(msgspec.json.encode(what) + b"\n")


async def hear(reader: asyncio.StreamReader, kind: type[T]) -> T | None:
    """Give the next thing that is said, None where the channel has ended."""
    try:
        line = await reader.readline()
    except OSError:
        return None
    return msgspec.json.decode(line, type=kind) if line.endswith(b"\n") else None

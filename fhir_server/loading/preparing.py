"""Texts made ready to be stored: parsed, checked, indexed; in other processes where cores allow."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection
from typing import Final, Self

import msgspec

from fhir_server.context import Context
from fhir_server.files import Text, parsed
from fhir_server.interactions import answer
from fhir_server.interactions.put_many import prepared
from fhir_server.loading.resources import Place, asks, reason, refers_by_query, singles
from fhir_server.store.port import Change
from resources.model import Resource, parse
from resources.outcome import FhirError

_PIECE: Final = 50
_MOST_PROCESSES: Final = 8
_LARGE: Final = 16 * 1024 * 1024


class Prepared(msgspec.Struct):
    """What a text came to: changes, why some of it is refused, or that it must go through the door.

    `door` is then the mark of its file.
    """

    changes: list[Change] = []
    reasons: list[str] = []
    door: str = ""


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[Prepared])
_here: list[Context] = []
"""The context of a process that prepares, set when it begins."""


def prepare(context: Context, text: Text, mark: str) -> Prepared:
    """Prepare one text; resources without an id get one that is the same whenever the file is loaded."""
    found = parsed(text)
    if found.resource is None:
        return Prepared(reasons=[found.problem])
    if asks(found.resource):
        return Prepared(door=mark)
    place = Place(mark, text.place)
    try:
        held = singles(found.resource, place)
    except FhirError as fault:
        return Prepared(reasons=[told(fault)])
    if any(refers_by_query(text, one) for one in held):
        return Prepared(door=mark)
    made = Prepared([], [])
    for resource in held:
        try:
            otherwise = "" if "id" in resource else place.id(0)
            made.changes.append(prepared(context, resource, otherwise))
        except FhirError as fault:
            made.reasons.append(told(fault))
    return made


def told(fault: FhirError) -> str:
    """Give why a resource was refused, as a sentence."""
    outcome: Resource = parse(answer.failed(fault).body)
    return reason(outcome)


class Preparing:
    """Prepares groups; `processes` are those that do it beside this one, none by default.

    They are forked, so they know what this one knows; what they prepare is handed back as bytes.
    """

    def __init__(self, context: Context, processes: int = 0) -> None:
        self._context = context
        self._pool = _pool(context, processes) if processes else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    async def group(self, group: Sequence[Text], mark: str) -> list[Prepared]:
        """Prepare texts, in their order."""
        if self._pool is None:
            return [prepare(self._context, text, mark) for text in group]
        loop = asyncio.get_running_loop()
        pieces = [group[n : n + _PIECE] for n in range(0, len(group), _PIECE)]
        done = [loop.run_in_executor(self._pool, _piece, piece, mark) for piece in pieces]
        return [one for piece in await asyncio.gather(*done) for one in _DECODER.decode(piece)]


def processes_for(size: int) -> int:
    """Give how many processes are to prepare texts of so many bytes, beside the one that stores."""
    if size < _LARGE or sys.platform != "linux":
        return 0
    return min(len(os.sched_getaffinity(0)) - 1, _MOST_PROCESSES)


def _pool(context: Context, processes: int) -> ProcessPoolExecutor:
    forked = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(
        processes, mp_context=forked, initializer=_begin, initargs=(context,)
    )


def _begin(context: Context) -> None:
    """Begin as a process that prepares: it ends with the one that began it, and not by its keyboard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _here[:] = [context]
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _piece(texts: Sequence[Text], mark: str) -> bytes:
    return _ENCODER.encode([prepare(_here[0], text, mark) for text in texts])

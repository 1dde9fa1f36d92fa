"""WADO-RS: instances, metadata, frames and bulk data as streamed responses (PS3.18 10.4)."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from starlette.responses import Response, StreamingResponse

from dicomweb_bridge import bulkdata as bulk
from dicomweb_bridge import dicom_json, multipart, negotiation, qido
from dicomweb_bridge import frames as pixel_frames
from dicomweb_bridge.archive.port import Where
from dicomweb_bridge.dicom_file import EXPLICIT
from resources import outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from dicomweb_bridge.archive.port import Archive, Instance
    from dicomweb_bridge.frames import Frames

_PIECE = 256 * 1024
_MOST_FRAMES = 10_000


async def chunks(archive: Archive, tenant: str, instance: Instance) -> AsyncIterator[bytes]:
    """Give an instance's DICOM file in pieces."""
    file = await opened(archive, tenant, instance)
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
    finally:
        file.close()


async def opened(archive: Archive, tenant: str, instance: Instance) -> BinaryIO:
    """Open an instance's file; raises Unavailable if the archive has lost it."""
    try:
        return await archive.open_file(tenant, instance)
    except FileNotFoundError:
        raise outcome.Unavailable("The archive can't give this instance now") from None


async def instances(
    archive: Archive, tenant: str, found: Sequence[Instance], asked: tuple[str, str]
) -> Response:
    """Answer with DICOM files for (Accept, service URL): multipart, or one as it is; raises NotAcceptable."""
    accept, address = asked
    for one in negotiation.wanted(accept):
        if not one.accepts(negotiation.DICOM) or not _as_stored(one.transfer_syntax, found):
            continue
        if one.multipart or one.name in {"*/*", "application/*"} or len(found) > 1:
            return _multipart(archive, tenant, found, address)
        return StreamingResponse(
            chunks(archive, tenant, found[0]),
            headers={"Content-Length": str(found[0].size)},
            media_type=negotiation.DICOM,
        )
    raise outcome.NotAcceptable(
        'Instances are given as multipart/related; type="application/dicom", in the transfer syntax they have'
    )


def _as_stored(transfer_syntax: str, found: Sequence[Instance]) -> bool:
    """Tell whether what is stored satisfies the transfer syntax asked for; none is converted."""
    return transfer_syntax in {"", "*"} or all(
        one.transfer_syntax == transfer_syntax for one in found
    )


def _multipart(archive: Archive, tenant: str, found: Sequence[Instance], address: str) -> Response:
    async def items() -> AsyncIterator[tuple[Mapping[str, str], AsyncIterator[bytes]]]:
        for one in found:
            headers = {
                "Content-Type": f"{negotiation.DICOM}; transfer-syntax={one.transfer_syntax}",
                "Content-Location": address + qido.path(Where(one.study, one.series, one.instance)),
                "Content-Length": str(one.size),
            }
            yield headers, chunks(archive, tenant, one)

    boundary = multipart.new_boundary()
    return StreamingResponse(
        multipart.written(boundary, items()), media_type=_content_type(negotiation.DICOM, boundary)
    )


def _content_type(name: str, boundary: str) -> str:
    return f'{negotiation.MULTIPART}; type="{name}"; boundary={boundary}'


async def metadata(
    archive: Archive, tenant: str, where: Where, address: str
) -> AsyncIterator[bytes]:
    """Give the JSON array of the instances' metadata, piece by piece."""
    separator = b"["
    async for stored in archive.metadata(tenant, where):
        yield separator + dicom_json.with_base(stored, address)
        separator = b","
    yield b"]" if separator == b"," else b"[]"


async def gzipped(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give a stream compressed for Content-Encoding: gzip."""
    packer = zlib.compressobj(3, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    async for piece in content:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def frame_numbers(text: str) -> list[int]:
    """Give the frame numbers of a comma-separated list; raises Invalid."""
    pieces = text.split(",")
    if len(pieces) > _MOST_FRAMES or not all(
        piece.isascii() and piece.isdigit() and 0 < len(piece) <= len("999999999")
        for piece in pieces
    ):
        raise outcome.Invalid("Frames are numbers from 1, separated by commas")
    return [int(piece) for piece in pieces]


async def frames(
    archive: Archive, tenant: str, instance: Instance, numbers: Sequence[int] | None, accept: str
) -> Response:
    """Answer with frames (None: all), compressed as stored or decoded; raises NotFound, NotAcceptable."""
    file = await opened(archive, tenant, instance)
    with ExitStack() as undo:
        undo.callback(file.close)
        found = await asyncio.to_thread(pixel_frames.Frames, file)
        wanted = list(range(1, found.count + 1)) if numbers is None else list(numbers)
        form, decode, in_parts = _frame_form(found, instance.transfer_syntax, accept)
        first = await asyncio.to_thread(_frame, found, wanted[0], decode=decode)
        undo.pop_all()
    if not in_parts and len(wanted) == 1:
        file.close()
        return Response(first, media_type=form)

    async def items() -> AsyncIterator[tuple[Mapping[str, str], AsyncIterator[bytes]]]:
        try:
            yield {"Content-Type": form}, _once(first)
            for number in wanted[1:]:
                content = await asyncio.to_thread(_frame, found, number, decode=decode)
                yield {"Content-Type": form}, _once(content)
        finally:
            file.close()

    boundary = multipart.new_boundary()
    kind = _content_type(form.partition(";")[0], boundary)
    return StreamingResponse(multipart.written(boundary, items()), media_type=kind)


def _frame_form(found: Frames, transfer_syntax: str, accept: str) -> tuple[str, bool, bool]:
    """Choose (content type, whether to decode, whether in multipart) for frames."""
    stored = pixel_frames.media_type(transfer_syntax)
    plain = f"{negotiation.OCTETS}; transfer-syntax={EXPLICIT}"
    for one in negotiation.wanted(accept):
        in_parts = one.multipart or "*" in one.name
        if found.encapsulated:
            if one.accepts(stored) and one.transfer_syntax in {"", "*", transfer_syntax}:
                return f"{stored}; transfer-syntax={transfer_syntax}", False, in_parts
            if one.accepts(negotiation.OCTETS) and one.transfer_syntax in {"*", transfer_syntax}:
                return f"{stored}; transfer-syntax={transfer_syntax}", False, in_parts
            if one.accepts(negotiation.OCTETS) and one.transfer_syntax in {"", EXPLICIT}:
                return plain, True, in_parts
        elif one.accepts(negotiation.OCTETS) and one.transfer_syntax in {
            *("", "*", EXPLICIT, transfer_syntax)
        }:
            return plain, False, in_parts
    raise outcome.NotAcceptable(f"These frames are given as {stored} or {negotiation.OCTETS}")


def _frame(found: Frames, number: int, *, decode: bool) -> bytes:
    return found.decoded(number, raw=True).tobytes() if decode else found.stored(number)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def bulkdata(
    archive: Archive, tenant: str, instance: Instance, path: str, accept: str
) -> Response:
    """Answer with one element's value; pixel data come as frames. Raises NotFound, NotAcceptable."""
    if path == "7FE00010":
        return await frames(archive, tenant, instance, None, accept)
    file = await opened(archive, tenant, instance)
    try:
        content = await asyncio.to_thread(bulk.value, file, path)
    finally:
        file.close()
    for one in negotiation.wanted(accept):
        if one.accepts(negotiation.OCTETS) and not one.multipart and one.name == negotiation.OCTETS:
            return Response(content, media_type=negotiation.OCTETS)
        if one.accepts(negotiation.OCTETS):
            boundary = multipart.new_boundary()
            body = [
                b"--%b\r\nContent-Type: application/octet-stream\r\n\r\n" % boundary.encode(),
                content,
            ]
            return Response(
                b"".join([*body, b"\r\n--%b--\r\n" % boundary.encode()]),
                media_type=_content_type(negotiation.OCTETS, boundary),
            )
    raise outcome.NotAcceptable(f"Bulk data are given as {negotiation.OCTETS}")

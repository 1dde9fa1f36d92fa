"""What the day needs of this machine and not of the server: DICOM files and the reference volume.

All of it is made by one thread, from the moment that the day begins, while the first messages go out.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fhir_server.demo import reference
from fhir_server.demo.patients import Case


class Preparation:
    """Files by the name of their case, and the lung volume of the reference mask; waited for when asked."""

    def __init__(self, cases: Sequence[Case], cache: Path, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "demo")
        self._files = {
            case.name: loop.run_in_executor(self._thread, case.write_images, cache, folder)
            for case in cases
        }
        self._volume = loop.run_in_executor(self._thread, reference.lung_volume_cm3, cache)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give up what was not begun and wait for the rest."""
        for future in self._files.values():
            _heard(future)
        _heard(self._volume)
        self._thread.shutdown(cancel_futures=True)

    async def files(self, case: Case) -> list[Path]:
        """Give a case's DICOM files; raises ImageMissing where their source was not fetched."""
        return await self._files[case.name]

    async def lung_volume_cm3(self) -> float:
        """Give the volume that the reference mask has for both lungs; raises ImageMissing."""
        return await self._volume


def _heard(future: "asyncio.Future[Any]") -> None:
    """Take note of a failure that nobody asked for, so that the event loop does not complain of it."""
    if future.done() and not future.cancelled():
        future.exception()

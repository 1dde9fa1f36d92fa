"""An archive's instances for whoever reads pixels: the image source of the AI worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dicomweb_bridge.archive.port import Where

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dicomweb_bridge.archive.port import Archive


class ArchiveSource:
    """Gives the DICOM files of one tenant's studies."""

    def __init__(self, archive: Archive, tenant: str) -> None:
        self._archive = archive
        self._tenant = tenant

    async def instances(
        self, study_uid: str, series_uid: str | None = None
    ) -> AsyncIterator[bytes]:
        """Give each DICOM file of a study or series whole, in series and instance number order."""
        for one in await self._archive.instances(self._tenant, Where(study_uid, series_uid)):
            file = await self._archive.open_file(self._tenant, one)
            try:
                yield await asyncio.to_thread(file.read)
            finally:
                file.close()

"""What is old enough is removed: journal files whole, then their AuditEvents, after so many days."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from fhir_server.audit.chain import SUFFIX
from fhir_server.audit.following import NAMESPACE
from fhir_server.store.port import Documents
from fhir_server.tenancy import DEFAULT

log = structlog.get_logger()

_DAY_S = 86_400
Erase = Callable[[str, str], Awaitable[int]]
"""Erases a tenant's AuditEvents that were recorded before a day (YYYY-MM-DD); gives how many."""


class Retention:
    """Removes what is older than so many days; tells of each file that it removed."""

    def __init__(
        self, folder: Path, documents: Documents, days: int, told: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._documents = documents
        self._days = days
        self._told = told

    async def sweep(self, tenants: list[str], erase: Erase) -> int:
        """Remove old files and events; gives how many of both."""
        before = time.time() - self._days * _DAY_S
        swept = 0
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path.stat().st_mtime < before:
                self._told(path.stem)
                await self._documents.delete(DEFAULT, NAMESPACE, path.stem)
                path.unlink()
                swept += 1
        day = time.strftime("%Y-%m-%d", time.gmtime(before))
        for tenant in tenants:
            swept += await erase(tenant, day)
        if swept:
            log.info("audit trail swept", removed=swept, before=day)
        return swept

"""Access without credentials, for development on loopback: `--auth open`."""

from collections.abc import Mapping

from fhir_server.access import Access, everything


class OpenAuthorizer:
    """Gives everyone full access; the settings refuse it on any address but loopback."""

    def __init__(self) -> None:
        self._everything = everything("anonymous")

    async def access(self, tenant: str, headers: Mapping[str, str]) -> Access:
        """Give full access, whatever the tenant and the headers."""
        del tenant, headers
        return self._everything

"""How often something was guessed: tries by name in the store, and failures by network address in memory."""

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from fhir_server.store.port import Documents
from smart_auth.records import Records, now

TRIES = 5
LOCKED_MS = 15 * 60 * 1_000
_RACERS = 50
_MOST_ADDRESSES = 10_000


class Tries(Struct, frozen=True):
    """How often something was tried without success; forgotten after a while."""

    count: int


class Attempts:
    """Counts tries of one kind, five in a quarter of an hour, over every process of the installation."""

    def __init__(
        self, documents: Documents, namespace: str, clock: Callable[[], int] = now
    ) -> None:
        self._tries = Records(documents, namespace, Tries)
        self._clock = clock

    async def count(self, tenant: str, name: str) -> bool:
        """Count a try before it is looked at; tells False where none is left until the lock ends."""
        for _ in range(_RACERS):
            found = await self._tries.get(tenant, name)
            count, revision = (found.value.count, found.revision) if found else (0, 0)
            if count >= TRIES:
                return False
            until = self._clock() + LOCKED_MS
            tried = Tries(count + 1)
            if await self._tries.put(tenant, name, tried, expires=until, revision=revision):
                return True
        return False

    async def forget(self, tenant: str, name: str) -> None:
        """Forget the tries of a name: one of them was right."""
        await self._tries.delete(tenant, name)


class Failures:
    """Counts what failed by network address, `most` in `window_ms`; each process counts its own."""

    def __init__(self, most: int, window_ms: int, clock: Callable[[], int] = now) -> None:
        self._most = most
        self._window = window_ms
        self._clock = clock
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def too_many(self, address: str) -> bool:
        """Tell whether the address has failed too often to be heard now."""
        since, count = self._seen.get(address, (0, 0))
        return count >= self._most and self._clock() - since < self._window

    def count(self, address: str) -> None:
        """Count a failure; the window begins with the first of its kind."""
        since, count = self._seen.pop(address, (0, 0))
        time = self._clock()
        fresh = time - since >= self._window
        self._seen[address] = (time, 1) if fresh else (since, count + 1)
        while len(self._seen) > _MOST_ADDRESSES:
            self._seen.popitem(last=False)

"""A write of what was read before, tried again where another writer came first: http.html#concurrency"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from fhir_server.context import Context
from resources.outcome import Conflict

_TOGETHER: Final = 3
_IN_LINE: Final = 20

_T = TypeVar("_T")


class Overtaken(Exception):
    """Another writer changed what was read, so nothing was written."""


async def won(context: Context, attempt: Callable[[], Awaitable[_T]]) -> _T:
    """Give what an attempt gives that was not Overtaken; each begins by reading anew.

    Of many that read one version one wins, so whoever lost several times stands in line, in which one
    tries at a time. Raises Conflict where others, of other processes, still come first.
    """
    for _ in range(_TOGETHER):
        with contextlib.suppress(Overtaken):
            return await attempt()
    async with context.services.line:
        for _ in range(_IN_LINE):
            with contextlib.suppress(Overtaken):
                return await attempt()
    raise Conflict("Others keep changing the same resources; send it again")

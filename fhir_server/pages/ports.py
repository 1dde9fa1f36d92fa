"""What the pages need of their surroundings; the composition root gives it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fhir_server.access import Access
from fhir_server.context import Context


class ModelState(Protocol):
    """An imaging model and whether it can run here; where it cannot, `reason` says why."""

    @property
    def model_id(self) -> str:
        """The model's id."""

    @property
    def version(self) -> str:
        """The model's version."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def installed(self) -> bool:
        """Whether it can run here."""

    @property
    def reason(self) -> str:
        """Why it cannot, and what to do; empty where it can."""


Session = Callable[[Mapping[str, str]], Awaitable[Access | None]]
"""Gives the access of whoever is logged in, by lower-case header names; None without a login."""
ContextFor = Callable[[Access], Context]
Health = Callable[[], Awaitable[Mapping[str, str]]]
"""Gives each component's state: "ok", "off", or what is wrong in a few words without PHI."""
Models = Callable[[], Sequence[ModelState]]
"""Gives the imaging models; may block, and is called in a thread."""
Render = Callable[[Access, str, str, int], Awaitable[bytes | None]]
"""Gives a series' middle image as a PNG that fits a square: (access, study UID, series UID, side in pixels).

None where there is no such series in the caller's reach, or it has no picture.
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that the pages are given.

    `login` is the path of the login page; None where there is no login, as with open access. `logout`
    is its counterpart.
    """

    context_for: ContextFor
    session: Session
    health: Health
    models: Models
    render: Render
    login: str | None = "/auth/login"
    logout: str = "/auth/logout"

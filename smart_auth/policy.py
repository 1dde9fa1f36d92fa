"""What the operator decided about the authorisation server."""

from dataclasses import dataclass
from typing import Literal

Registering = Literal["off", "token", "open"]


@dataclass(frozen=True, slots=True)
class Policy:
    """`registration`: who may register a client (RFC 7591); `second_factor`: every password needs one.

    `simulator`: there is an EHR simulator page.
    """

    registration: Registering = "off"
    second_factor: bool = False
    simulator: bool = False

"""Places on the globe as whole centimetres, for `near` (FHIR R4 location.html#search, WGS 84).

A place is a point on a sphere of the earth's mean radius, in integers: x to longitude 0, y to 90 degrees
east, z to the north pole. Two places are within a distance along the ground if the straight line between them
is short enough; integers give every store the same answer, across the date line and the poles as well.
"""

from __future__ import annotations

import math

RADIUS_M = 6_371_008.8
"""The mean radius of the earth in metres (IUGG); distances differ by at most 0.6 % from the ellipsoid's."""

_CM = 100

Point = tuple[int, int, int]


def point(latitude: float, longitude: float) -> Point:
    """Give the place of degrees north and east; raises ValueError outside -90..90 and -180..180."""
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):  # also false for NaN
        raise ValueError("not a place on the globe")
    radius = RADIUS_M * _CM
    north, east = math.radians(latitude), math.radians(longitude)
    across = radius * math.cos(north)
    return (
        round(across * math.cos(east)),
        round(across * math.sin(east)),
        round(radius * math.sin(north)),
    )


def reach(metres: float) -> int:
    """Give the length in centimetres of the straight line between places so far apart on the ground."""
    angle = min(metres / RADIUS_M, math.pi)
    return math.ceil(2 * RADIUS_M * _CM * math.sin(angle / 2))

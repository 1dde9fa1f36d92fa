"""The search parameter `near`: latitude|longitude|distance|unit (FHIR R4 location.html#search).

The distance is along the ground, as the crow flies. Without one it is 10; without a unit it is in kilometres;
a unit is a UCUM code of a length: km, m, [mi_i] (mile), [nmi_i] (nautical mile).
"""

from __future__ import annotations

from fhir_server.search import position, units
from fhir_server.search.expression import Expression, Near, Or
from fhir_server.search.parameters import Parameter
from fhir_server.search.parse import split, unescape
from resources.datatypes import decimal
from resources.outcome import Invalid

_MOST_PARTS = 4
_DISTANCE = "10"
_UNIT = "km"


def near(parameter: Parameter, value: str) -> Expression:
    """Give the meaning of one value; raises Invalid."""
    parts = [unescape(part) for part in split(value, "|")]
    if not 2 <= len(parts) <= _MOST_PARTS:
        raise Invalid("near is written latitude|longitude|distance|unit", issue="value")
    north, east, distance, unit = (*parts, "", "")[:_MOST_PARTS]
    try:
        point = position.point(float(decimal(north)), float(decimal(east)))
    except ValueError:
        raise Invalid("near takes degrees north and east as decimals", issue="value") from None
    reach = position.reach(_metres(distance or _DISTANCE, unit or _UNIT))
    return Or(tuple(Near(atom.name, *point, reach) for atom in parameter.atoms))


def _metres(distance: str, unit: str) -> float:
    scale = units.scale(unit)
    try:
        number = decimal(distance)
    except ValueError:
        raise Invalid("The distance of near is a decimal", issue="value") from None
    if scale is None or scale.suffix != ".ucum(m)":
        raise Invalid("The unit of near is a UCUM code of a length, such as km", issue="value")
    if number < 0:
        raise Invalid("The distance of near is not negative", issue="value")
    return float(scale.of(number))

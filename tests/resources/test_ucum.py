"""UCUM: units to base units."""

from fractions import Fraction

import pytest

from resources import ucum, ucum_atoms


@pytest.mark.parametrize("atom", sorted({*ucum_atoms.DEFINED, *ucum_atoms.ARBITRARY}))
def test_every_unit_of_the_table_is_made_of_known_ones(atom):
    assert ucum.parse(atom).factor > 0


@pytest.mark.parametrize(
    ("unit", "factor", "dimensions"),
    [
        ("mm[Hg]", 133322, (("g", 1), ("m", -1), ("s", -2))),
        ("mg/dL", 10, (("g", 1), ("m", -3))),
        ("10*9/L", 10**12, (("m", -3),)),
        ("{cells}/uL", 10**9, (("m", -3),)),
        ("kg/m2", 1000, (("g", 1), ("m", -2))),
        ("/min", Fraction(1, 60), (("s", -1),)),
        ("g/(24.h)", Fraction(1, 86400), (("g", 1), ("s", -1))),
        ("[lb_av]", Fraction("453.59237"), (("g", 1),)),
        ("%", Fraction(1, 100), ()),
        ("mmol{glucose}", Fraction("6.0221367e20"), ()),
    ],
)
def test_units_are_known_by_what_they_are_made_of(unit, factor, dimensions):
    assert ucum.parse(unit) == ucum.Unit(Fraction(factor), dimensions)


@pytest.mark.parametrize(
    "text", ["", "lbs", "kkg", "m//", "m)", "(m", "m^2", "m99999", "[x]", "m" * 300]
)
def test_what_is_no_unit_is_unknown(text):
    with pytest.raises(ucum.UnknownUnit):
        ucum.parse(text)

"""The units that are known: prefixes, and atoms by what they are (https://ucum.org/ucum, tables 1-24)."""

from collections.abc import Mapping
from types import MappingProxyType


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "Y": "1e24", "Z": "1e21", "E": "1e18", "P": "1e15", "T": "1e12", "G": "1e9", "M": "1e6",
        "k": "1e3", "h": "1e2", "da": "1e1", "d": "1e-1", "c": "1e-2", "m": "1e-3", "u": "1e-6",
        "n": "1e-9", "p": "1e-12", "f": "1e-15", "a": "1e-18", "z": "1e-21", "y": "1e-24",
        "Ki": "1024", "Mi": "1048576", "Gi": "1073741824", "Ti": "1099511627776",
    }
)  # fmt: skip

METRIC = _names(
    "mol sr Hz N Pa J W A V F Ohm S Wb T H lm lx Bq Gy Sv l L ar t bar u eV pc cal cal_th dyn erg P St "
    "Mx G Oe Gb Ci R RAD REM kat U eq osm m[Hg] m[H2O] g% By bit Bd tex [iU] [IU] Kt sb Lmb ph "
    "[Cal] Eq"
)
"""Atoms that take a metric prefix, the base units apart."""

ARBITRARY: Mapping[str, str] = MappingProxyType(
    {
        name: name.replace("[IU]", "[iU]")
        for name in _names(
            "[iU] [IU] [arb'U] [USP'U] [GPL'U] [MPL'U] [APL'U] [beth'U] [anti'Xa'U] [todd'U] [dye'U] "
            "[smgy'U] [bdsk'U] [ka'U] [knk'U] [mclg'U] [tb'U] [CCID_50] [TCID_50] [EID_50] [PFU] [FFU] "
            "[CFU] [IR] [BAU] [AU] [Amb'a'1'U] [PNU] [Lf] [D'ag'U] [FEU] [ELU] [EU]"
        )
    }
)
"""Arbitrary units, which compare to nothing else, by the dimension they stand for."""

DEFINED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        # dimensionless
        "10*": ("10", "1"), "10^": ("10", "1"), "%": ("1e-2", "1"), "[ppth]": ("1e-3", "1"),
        "[ppm]": ("1e-6", "1"), "[ppb]": ("1e-9", "1"), "[pptr]": ("1e-12", "1"),
        "[pi]": ("3.1415926535897932384626433832795028841971693993751058209749445923", "1"),
        "mol": ("6.0221367e23", "1"), "eq": ("1", "mol"), "Eq": ("1", "mol"), "osm": ("1", "mol"),
        "[HPF]": ("1", "1"), "[LPF]": ("100", "1"), "bit": ("1", "1"), "By": ("8", "bit"),
        "sr": ("1", "rad2"), "g%": ("1", "g/dl"), "[drp]": ("0.05", "ml"),
        "[hnsf'U]": ("1", "1"), "[S]": ("1e-13", "s"),
        # angles and times
        "deg": ("2", "[pi].rad/360"), "gon": ("0.9", "deg"), "'": ("1", "deg/60"),
        "''": ("1", "deg/3600"), "circ": ("2", "[pi].rad"),
        "min": ("60", "s"), "h": ("60", "min"), "d": ("24", "h"), "wk": ("7", "d"),
        "a_t": ("365.24219", "d"), "a_j": ("365.25", "d"), "a_g": ("365.2425", "d"),
        "a": ("1", "a_j"), "mo_s": ("29.53059", "d"), "mo_j": ("1", "a_j/12"),
        "mo_g": ("1", "a_g/12"), "mo": ("1", "mo_j"),
        # SI
        "Hz": ("1", "s-1"), "N": ("1", "kg.m/s2"), "Pa": ("1", "N/m2"), "J": ("1", "N.m"),
        "W": ("1", "J/s"), "A": ("1", "C/s"), "V": ("1", "J/C"), "F": ("1", "C/V"),
        "Ohm": ("1", "V/A"), "S": ("1", "Ohm-1"), "Wb": ("1", "V.s"), "T": ("1", "Wb/m2"),
        "H": ("1", "Wb/A"), "lm": ("1", "cd.sr"), "lx": ("1", "lm/m2"), "Bq": ("1", "s-1"),
        "Gy": ("1", "J/kg"), "Sv": ("1", "J/kg"), "l": ("1", "dm3"), "L": ("1", "l"),
        "ar": ("100", "m2"), "t": ("1e3", "kg"), "bar": ("1e5", "Pa"), "u": ("1.6605402e-24", "g"),
        "eV": ("1.60217733e-19", "J"), "pc": ("3.085678e16", "m"), "AU": ("149597.870691", "Mm"),
        "kat": ("1", "mol/s"), "U": ("1", "umol/min"), "tex": ("1", "g/km"), "Bd": ("1", "s-1"),
        # natural constants
        "[c]": ("299792458", "m/s"), "[h]": ("6.6260755e-34", "J.s"), "[k]": ("1.380658e-23", "J/K"),
        "[eps_0]": ("8.854187817e-12", "F/m"), "[e]": ("1.60217733e-19", "C"),
        "[m_e]": ("9.1093897e-28", "g"), "[m_p]": ("1.6726231e-24", "g"),
        "[G]": ("6.67259e-11", "m3.kg-1.s-2"), "[g]": ("9.80665", "m/s2"), "[ly]": ("1", "[c].a_j"),
        "atm": ("101325", "Pa"), "att": ("1", "kgf/cm2"), "kgf": ("1", "kg.[g]"),
        "gf": ("1", "g.[g]"), "[lbf_av]": ("1", "[lb_av].[g]"),
        # CGS and older
        "dyn": ("1", "g.cm/s2"), "erg": ("1", "dyn.cm"), "P": ("1", "dyn.s/cm2"),
        "St": ("1", "cm2/s"), "Mx": ("1e-8", "Wb"), "G": ("1e-4", "T"), "Oe": ("250", "A/m/[pi]"),
        "Gb": ("1", "Oe.cm"), "Ci": ("37e9", "Bq"), "R": ("2.58e-4", "C/kg"),
        "RAD": ("100", "erg/g"), "REM": ("1", "RAD"), "Ao": ("0.1", "nm"), "sb": ("1", "cd/cm2"),
        "Lmb": ("1", "cd/cm2/[pi]"), "ph": ("1e-4", "lx"), "cal_th": ("4.184", "J"),
        "cal": ("1", "cal_th"), "[Cal]": ("1", "kcal_th"), "cal_IT": ("4.1868", "J"),
        "[Btu]": ("1.05505585262", "kJ"), "[HP]": ("550", "[ft_i].[lbf_av]/s"),
        # pressure
        "m[Hg]": ("133.322", "kPa"), "m[H2O]": ("9.80665", "kPa"), "[in_i'Hg]": ("1", "m[Hg].[in_i]/m"),
        "[in_i'H2O]": ("1", "m[H2O].[in_i]/m"), "[psi]": ("1", "[lbf_av]/[sin_i]"),
        # lengths, areas, volumes and weights
        "[in_i]": ("2.54", "cm"), "[ft_i]": ("12", "[in_i]"), "[yd_i]": ("3", "[ft_i]"),
        "[mi_i]": ("5280", "[ft_i]"), "[nmi_i]": ("1852", "m"), "[fth_i]": ("6", "[ft_i]"),
        "[kn_i]": ("1", "[nmi_i]/h"), "[sin_i]": ("1", "[in_i]2"), "[sft_i]": ("1", "[ft_i]2"),
        "[syd_i]": ("1", "[yd_i]2"), "[cin_i]": ("1", "[in_i]3"), "[cft_i]": ("1", "[ft_i]3"),
        "[Ch]": ("1", "mm/3"), "[diop]": ("1", "m-1"), "[mesh_i]": ("1", "[in_i]-1"),
        "[acr_us]": ("4046.872609874252", "m2"),
        "[gal_us]": ("231", "[in_i]3"), "[qt_us]": ("1", "[gal_us]/4"), "[pt_us]": ("1", "[qt_us]/2"),
        "[gil_us]": ("1", "[pt_us]/4"), "[foz_us]": ("1", "[gil_us]/4"),
        "[fdr_us]": ("1", "[foz_us]/8"), "[min_us]": ("1", "[fdr_us]/60"),
        "[cup_us]": ("16", "[tbs_us]"), "[tbs_us]": ("1", "[foz_us]/2"),
        "[tsp_us]": ("1", "[tbs_us]/3"), "[cup_m]": ("240", "ml"), "[tsp_m]": ("5", "ml"),
        "[tbs_m]": ("15", "ml"), "[foz_m]": ("30", "ml"),
        "[gal_br]": ("4.54609", "l"), "[qt_br]": ("1", "[gal_br]/4"), "[pt_br]": ("1", "[qt_br]/2"),
        "[foz_br]": ("1", "[pt_br]/20"),
        "[gr]": ("64.79891", "mg"), "[lb_av]": ("7000", "[gr]"), "[oz_av]": ("1", "[lb_av]/16"),
        "[dr_av]": ("1", "[oz_av]/16"), "[ston_av]": ("2000", "[lb_av]"),
        "[lton_av]": ("2240", "[lb_av]"), "[stone_av]": ("14", "[lb_av]"), "[car_m]": ("0.2", "g"),
        "[oz_tr]": ("480", "[gr]"), "[lb_tr]": ("12", "[oz_tr]"), "[oz_ap]": ("480", "[gr]"),
        "[sc_ap]": ("20", "[gr]"), "[dr_ap]": ("3", "[sc_ap]"), "[oz_m]": ("28", "g"),
        # clinical
        "[MET]": ("3.5", "ml/min/kg"), "[PRU]": ("1", "mm[Hg].s/ml"), "[wood'U]": ("1", "mm[Hg].min/l"),
        "[dyn.s/cm5]": ("1", "dyn.s/cm5"), "[degR]": ("5", "K/9"),
    }
)  # fmt: skip
"""Atoms by the number and the unit that they are."""

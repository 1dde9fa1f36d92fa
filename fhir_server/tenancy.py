"""Tenants: the default one always is, others are registered; a tenant is part of every key."""

import functools
import re

TENANTS = "tenants"
DEFAULT = "default"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def well_formed(name: str) -> bool:
    """Tell whether a name can be a tenant's: lower-case letters, digits and '-', at most 63."""
    return bool(_NAME.fullmatch(name))


@functools.lru_cache(4096)
def bases(name: str, base: str) -> tuple[str, ...]:
    """Give the FHIR bases by which a tenant is reached: `base`, which we write out, and others like it.

    The default tenant has also that of its explicit name, as any other tenant has.
    """
    if name != DEFAULT:
        return (base,)
    return base, f"{base.removesuffix('/fhir')}/t/{DEFAULT}/fhir"


def path(name: str) -> str:
    """Give the path below which a tenant's doors are: empty for the default tenant."""
    return "" if name == DEFAULT else f"/t/{name}"

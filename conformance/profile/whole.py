"""The whole of validation: R4's rules, advice on codes and extensions, profiles (FHIR R4 validation.html)."""

from collections.abc import Callable

from conformance.advice import extension_urls
from conformance.implied_profiles import implied
from conformance.profile.checked import ProfileChecks, claimed
from resources.model import Resource
from resources.outcome import Issue

REFUSING = frozenset({"error", "fatal"})

Check = Callable[[Resource], tuple[Issue, ...]]
"""Gives what is wrong with a resource by R4's own rules."""


def profiles_of(resource: Resource, named: str = "") -> tuple[str, ...]:
    """Give the profiles that a resource claims, those that its codes imply, and one that is named."""
    found = (*claimed(resource), *implied(resource), *([named] if named else ()))
    return tuple(dict.fromkeys(found))


def drawn_on(resource: Resource, named: str = "") -> tuple[str, ...]:
    """Give the canonicals of the definitions that validation of a resource needs: profiles, extensions."""
    return tuple(dict.fromkeys((*profiles_of(resource, named), *extension_urls(resource))))


def issues(
    resource: Resource, base: Check, checks: ProfileChecks, named: str = ""
) -> tuple[Issue, ...]:
    """Give all that is to be said; advice and profiles are asked of what R4's own rules let pass."""
    found = base(resource)
    if any(issue.severity in REFUSING for issue in found):
        return found
    by_profile = checks.check(resource, profiles_of(resource, named))
    return tuple(dict.fromkeys((*found, *checks.advised(resource), *by_profile)))

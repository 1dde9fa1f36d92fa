"""Operators' tokens."""

import pytest

from fhir_server.access import Grant
from smart_auth.operator_token import OperatorToken, mint
from smart_auth.scopes import MUST_BE_NAMED

RS = frozenset("rs")


def of_people(*parts):
    """A grant of a person's scopes, which reach types of their own by name only."""
    return Grant(*parts, apart=MUST_BE_NAMED)


async def test_an_operators_token_carries_what_was_asked(world):
    asked = OperatorToken(
        "patient/*.rs user/Observation.r openid",
        "ann",
        "Practitioner/d1",
        ("ImagingStudy/s1",),
        ttl=60,
    )
    access = await world.access(mint(world.smart.keys, asked, world.clock))
    assert access.grants == (
        of_people("*", RS, "ann"),
        of_people("Observation", frozenset("r")),
    )
    assert access.patient == "ann"
    assert access.fhir_user == "Practitioner/d1"
    assert access.context == ("ImagingStudy/s1",)
    assert access.subject == access.client == "hounsfield-operator"


@pytest.mark.parametrize(
    "asked",
    [
        OperatorToken(""),
        OperatorToken("openid"),
        OperatorToken("patient/*.rs"),
        OperatorToken("patient/*.rs", "Patient/ann"),
        OperatorToken("patient/*.sr", "ann"),
        OperatorToken("user/*.rs"),
        OperatorToken("user/*.rs", fhir_user="Person/p"),
        OperatorToken("user/*.rs", fhir_user="d1"),
        OperatorToken("system/*.rs", context=("study",)),
        OperatorToken("system/*.rs", ttl=0),
        OperatorToken("system/*.rs", ttl=10**9),
        OperatorToken("system/*.rs", tenant="No Tenant"),
    ],
)
def test_a_token_that_would_mean_nothing_is_not_made(world, asked):
    with pytest.raises(ValueError, match=r".{20}"):
        mint(world.smart.keys, asked, world.clock)

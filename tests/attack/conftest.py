"""One attacked server for the whole suite."""

import pytest
from attacked import (
    ALICE,
    BOB,
    NORTH,
    World,
    focused,
    ordered,
    register,
    resources,
    very_restricted,
)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    data = tmp_path_factory.mktemp("attack") / "data"
    register(data)
    made = World(data)
    try:
        made.put(*resources(ALICE), *resources(BOB))
        made.put(focused(), very_restricted(), *ordered())
        made.put(*resources(BOB), tenant=NORTH)
        for who in (ALICE, BOB):
            made.stow(who)
        yield made
    finally:
        made.close()

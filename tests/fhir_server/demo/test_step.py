"""A step holds or does not, and the day is told as the contract has it."""

import json
from decimal import Decimal

import httpx
import pytest

from fhir_server.demo import telling
from fhir_server.demo.step import PROBLEM, Day, NotHeld, Step, require, run, unreached

HELD = Step("a", ok=True, seconds=0.5, urls=["http://x/fhir/Patient/1"], facts={"n": 1})


async def _fine(notes):
    notes.url("http://x/fhir/Patient/1", "http://x/fhir/Patient/1")
    notes.facts["volume"] = Decimal("1.10")


async def test_a_step_that_raises_nothing_holds_and_keeps_its_notes():
    step = await run("a", _fine)
    assert step.ok
    assert step.name == "a"
    assert step.seconds >= 0
    assert step.urls == ["http://x/fhir/Patient/1"]
    assert step.facts == {"volume": Decimal("1.10")}


@pytest.mark.parametrize("fault", [NotHeld("no"), KeyError("no"), httpx.ReadTimeout("no")])
async def test_a_step_that_fails_tells_why_and_keeps_what_it_noted(fault):
    async def act(notes):
        await _fine(notes)
        raise fault

    step = await run("a", act)
    assert not step.ok
    assert step.facts[PROBLEM].startswith(type(fault).__name__)
    assert step.urls == ["http://x/fhir/Patient/1"]


async def test_a_fault_of_the_demo_itself_is_not_taken_for_a_step_that_failed():
    async def act(notes):
        raise TypeError

    with pytest.raises(TypeError):
        await run("a", act)


async def test_steps_do_not_share_their_notes():
    first, second = await run("a", _fine), await run("b", _fine)
    assert first.urls is not second.urls
    assert first.facts is not second.facts


def test_require_raises_the_claim_unless_it_holds():
    require([1], "there is one")
    with pytest.raises(NotHeld, match="there is one"):
        require([], "there is one")


def test_the_json_of_a_day_is_the_object_of_the_contract():
    step = Step("a", ok=True, seconds=0.5, urls=["u"], facts={"volume": Decimal("1.10")})
    text = Day.of("http://x/fhir", [step]).json().decode()
    assert '"volume":1.10' in text
    assert json.loads(text) == {
        "ok": True,
        "base": "http://x/fhir",
        "steps": [
            {"name": "a", "ok": True, "seconds": 0.5, "urls": ["u"], "facts": {"volume": 1.1}}
        ],
    }


@pytest.mark.parametrize("steps", [[], [HELD, unreached("b", "a did not hold")]])
def test_a_day_with_a_step_that_did_not_hold_or_with_none_is_not_ok(steps):
    assert not Day.of("http://x/fhir", steps).ok


def test_the_line_of_a_step_tells_where_to_look_or_what_was_wrong():
    assert telling.line(HELD) == "ok    a                    0.50 s  http://x/fhir/Patient/1"
    missed = telling.line(unreached("b", "a did not hold"))
    assert missed.startswith("FAIL  b")
    assert missed.endswith("not tried: a did not hold")


def test_the_table_has_a_dash_where_a_step_did_not_get(capsys):
    telling.conclude(Day.of("http://x/fhir", [HELD, unreached("chest-ct-order", "no")]))
    told = capsys.readouterr().out
    assert "Chest CT" in told
    assert "1 of 2 steps held" in told

"""Acknowledged means durable: a process is killed in the middle of concurrent commits, many times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from killed_commits import check, killed_in_the_middle


def test_what_was_acknowledged_survives_kill_9(
    tmp_path: Path, size: Callable[[int, int], int], record_property: Any
) -> None:
    place = str(tmp_path / "store.sqlite")
    acknowledged: dict[str, int] = {}
    rounds = size(3, 20)
    for turn in range(rounds):
        acknowledged |= killed_in_the_middle(place, turn)
        asyncio.run(check(place, acknowledged))
    assert len(acknowledged) >= 60 * rounds
    record_property("proof", f"{rounds} kills, {len(acknowledged)} acknowledged commits, none lost")

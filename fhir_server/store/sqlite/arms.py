"""SELECTs through one index each, and what several of them give together."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.store.sqlite import joined
from fhir_server.store.sqlite.candidates import Bindings, Candidate


class Arm:
    """One SELECT through one index: `table` with its alias, and the conditions on its rows.

    `ordered`: it comes by clinical date and number of itself. `distinct`: it gives no resource twice.
    """

    def __init__(self, table: str, where: str, at: Candidate) -> None:
        self.table = table
        self.where = [where]
        self.at = at
        self.ordered = False
        self.distinct = False

    def require(self, condition: str) -> None:
        """Add a condition."""
        self.where.append(condition)

    def select(self, columns: str, more: Sequence[str] = ()) -> str:
        """Give the SELECT of columns with more conditions; the resource's row is joined if it is needed."""
        at, join = self.at, ""
        if at.needs_row and not at.rid.startswith(f"{at.row}."):
            join = f" CROSS JOIN resource {at.row} ON {at.row}.rid = {at.rid}"
        where = joined.all_of((*self.where, *more))
        return f"SELECT {columns} FROM {self.table}{join} WHERE {where}"

    def places(self, *, distinct: bool) -> str:
        """Give the SELECT of clinical date and number."""
        once = "DISTINCT " if distinct and not self.distinct else ""
        return self.select(f"{once}{self.at.clinical} AS clinical, {self.at.rid} AS rid")


def on_resources(bind: Bindings, table: str, alias: str, collection: int) -> Arm:
    """Give the arm of tables that end with `resource` under an alias: what is current of a collection."""
    at = Candidate(collection, f"{alias}.rid", f"{alias}.clinical", alias)
    return Arm(table, f"{alias}.collection = {bind(collection)} AND {alias}.alive = 1", at)


class Source:
    """Arms that together give what satisfies an expression; `size` if a probe found it below its cap.

    `scans`: rows are looked at that may not satisfy, so that counting them has no bound. `counted` is what a
    probe counts, `cost` how much more a row costs than one of a plain index.
    """

    def __init__(self, arms: list[Arm], *, scans: bool = False) -> None:
        self.arms = arms
        self.scans = scans
        self.size: int | None = None if arms else 0
        self.counted = arms
        self.cost = 1

    @property
    def ordered(self) -> bool:
        """Tell whether each arm comes by clinical date and number of itself."""
        return all(arm.ordered for arm in self.arms)

    @property
    def places(self) -> str:
        """The SELECT of clinical date and number, each resource once."""
        several = len(self.arms) > 1
        return " UNION ".join(arm.places(distinct=not several) for arm in self.arms)


def together(bind: Bindings, source: Source, collection: int) -> Source:
    """Give a source as one arm, so that what else is asked of its resources is written once."""
    alias = bind.alias()
    at = Candidate(collection, f"{alias}.rid", f"{alias}.clinical", bind.alias())
    arm = Arm(f"({source.places}) {alias}", "1", at)
    arm.distinct = True
    made = Source([arm], scans=source.scans)
    made.counted, made.cost, made.size = source.counted, source.cost, source.size
    return made


def row_of(alias: str) -> str:
    """Give the columns of a resource, under an alias of its table, that make a match."""
    return f"{alias}.id, {alias}.version, {alias}.updated, {alias}.method, {alias}.position, {alias}.body"

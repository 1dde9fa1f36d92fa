"""_explain: how a search is run, for administrators: plan, the store's statements, what they looked at."""

from fhir_server.access import LETTERS, Access
from fhir_server.context import Context
from fhir_server.search.expression import Plan
from fhir_server.search.told import told
from resources.outcome import Forbidden, Issue

_SYSTEM = "system/*."


def permit(access: Access) -> None:
    """Refuse all but system tokens with full rights, and callers of an open server; raises Forbidden."""
    full = all(access.unlimited("*", letter) for letter in LETTERS)
    ours = not access.scopes or any(scope.startswith(_SYSTEM) for scope in access.scopes)
    if not full or not ours:
        raise Forbidden("_explain is for administrators: it needs a token for system/*.cruds")


async def explained(context: Context, plan: Plan) -> list[Issue]:
    """Give what there is to tell of a search; no value in it but those that were asked for."""
    run = await context.services.store.explain(plan)
    return [
        Issue("information", "informational", f"Plan\n{told(plan)}"),
        Issue("information", "informational", f"Run\n{run}"),
    ]

"""What the door offers, as values: the CapabilityStatement and the docs follow from here."""

from collections.abc import Mapping

TYPE_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
SYSTEM_INTERACTIONS = ("transaction", "batch", "history-system", "search-system")
PARAMETER_TYPES = frozenset({"token", "reference", "string", "date", "number", "quantity", "uri"})
CONDITIONALS: Mapping[str, bool | str] = {
    "conditionalCreate": True,
    "conditionalRead": "full-support",
    "conditionalUpdate": True,
    "conditionalDelete": "single",
}

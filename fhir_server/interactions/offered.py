"""What the door offers, as values: the CapabilityStatement and the docs follow from here."""

TYPE_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
SYSTEM_INTERACTIONS = ("transaction", "batch", "history-system", "search-system")
PARAMETER_TYPES = frozenset(
    {"token", "reference", "string", "date", "number", "quantity", "uri", "composite", "special"}
)
PATCH_FORMATS = ("application/json-patch+json", "application/fhir+json", "application/fhir+xml")
# conditionalDelete is a setting
CONDITIONALS: dict[str, bool | str] = {
    "conditionalCreate": True,
    "conditionalRead": "full-support",
    "conditionalUpdate": True,
}

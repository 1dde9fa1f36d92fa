"""What a type does not have: strict handling refuses it, lenient ignores it (R4 search.html#errors)."""

from collections.abc import Callable

from resources.outcome import NotSupported


class UnknownParameter(NotSupported):
    """The type has no such search parameter."""


class UnknownModifier(UnknownParameter):
    """The parameter takes no such modifier."""


Ignore = Callable[[UnknownParameter], None]
"""Takes note of what lenient handling leaves out; raises it again under strict handling."""

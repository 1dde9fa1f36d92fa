"""The clock of the installation."""

import time


def now() -> int:
    """Give milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000

"""Logs: one JSON object a line on standard error, never with PHI."""

import logging
import sys
from typing import Any, TextIO, cast

import structlog


class _StandardError:
    """Standard error as it is when something is written: whoever runs a command may exchange it."""

    def write(self, text: str) -> int:
        """Write a text; gives its length."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Have what was written leave."""
        sys.stderr.flush()


def configure(level: str) -> None:
    """Write what is at least as severe as `level`."""
    stream = cast("TextIO", _StandardError())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _place_of_fault,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(name)s %(message)s")


def _place_of_fault(_: Any, __: str, event: Any) -> Any:
    """Tell a fault by its type and place; its message may hold what a patient's record holds."""
    fault = event.pop("exc_info", None)
    if fault is True:
        fault = sys.exc_info()[1]
    if isinstance(fault, BaseException) and fault.__traceback__ is not None:
        trace, frames = fault.__traceback__, []
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next  # type: ignore[assignment]  # None ends the loop
        event["fault"], event["at"] = type(fault).__name__, frames[-8:]
    return event

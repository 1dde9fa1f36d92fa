"""Logs go to standard error as it is at the moment that something is told."""

import contextlib
import io
import json

import pytest
import structlog

from fhir_server import logs


@pytest.fixture(autouse=True)
def _as_it_was():
    yield
    structlog.reset_defaults()


def test_a_log_outlives_the_stream_that_it_began_with():
    log = structlog.get_logger()
    first, second = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(first):
        logs.configure("warning")
        log.warning("one")
        log.info("not told")
        told = json.loads(first.getvalue())
    first.close()
    with contextlib.redirect_stderr(second):
        log.warning("two")
    assert (told["event"], json.loads(second.getvalue())["event"]) == ("one", "two")

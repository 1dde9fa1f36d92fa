"""Operations over both stores, with a worker that looks often and waits little."""

import job_world
import pytest

from fhir_server.jobs import runner


@pytest.fixture(autouse=True)
def _brisk(monkeypatch):
    monkeypatch.setattr(runner, "_POLL_S", 0.01)
    monkeypatch.setattr(runner, "_BEAT_S", 0.02)
    monkeypatch.setattr(runner, "_BACKOFF", 1)


@pytest.fixture(params=job_world.STORES)
async def world(request, tmp_path):
    async with job_world.opened(request.param, tmp_path) as found:
        yield found

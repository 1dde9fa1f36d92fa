"""The composition root refuses what this version cannot do."""

import pytest

from fhir_server import app
from fhir_server.settings import SettingsError, load


@pytest.mark.parametrize("flag", [{"archive": "https://pacs.example/dicom-web"}])
async def test_what_this_version_cannot_serve_is_refused_in_a_sentence(tmp_path, flag):
    settings, _ = load({"data": str(tmp_path), "auth": "open", **flag}, {}, None)
    with pytest.raises(SettingsError, match="this version"):
        async with app.installation(settings, "http://x"):
            pytest.fail("it opened")


async def test_health_names_every_part(tmp_path):
    flags = {"data": str(tmp_path), "auth": "open", "mllp_port": "off"}
    settings, _ = load(flags, {}, None)
    async with app.installation(settings, "http://x", serving=True) as house:
        await house.start(1)
        states = await house.health()
    assert states["mllp"] == states["dimse"] == "off"
    assert {name for name, state in states.items() if state == "ok"} >= {"store", "archive", "jobs"}

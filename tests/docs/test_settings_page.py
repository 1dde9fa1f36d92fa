"""docs/settings.md is what the declarations say."""

from fhir_server.settings import SETTINGS
from scripts import settings_page


def test_the_page_is_current():
    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.page()


def test_every_setting_has_a_row_with_its_three_names():
    page = settings_page.page()
    for setting in SETTINGS:
        row = f"| `{setting.flag}` | `{setting.variable}` | `{setting.name}` |"
        assert row in page
        assert setting.help.endswith(".")

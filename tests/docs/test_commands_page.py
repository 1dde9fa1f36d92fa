"""docs/commands.md is what the declarations say."""

from fhir_server import commands, registry
from fhir_server.command import Command
from scripts import commands_page


def test_the_page_is_current():
    told = commands_page.PAGE.read_text(encoding="utf-8")
    assert told == commands_page.page(), "run python scripts/commands_page.py"


def test_every_command_has_a_row():
    page = commands_page.page()
    for command in registry.discover(commands, Command, "fhir_server.commands"):
        assert f"| `{command.name}` |" in page or f"| `{command.name} " in page


def test_arguments_are_written_as_one_would_write_them():
    page = commands_page.page()
    assert "`--id ID [--name NAME] [--redirect-uri URI]…" in page
    assert "[--public \\| --secret \\| --jwks FILE\\|URL]" in page
    assert "| `send` | send HL7 v2 files over MLLP | `PATH… " in page
